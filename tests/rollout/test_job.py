"""`modelsync rollout` as the CronJob runs it: exit code, log, Events, state, and what the pods are pinned to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.records import Record, records
from tests.servers.git import GitServer
from tests.servers.kubernetes import ApiServer
from tests.servers.service import answers
from tests.service.following import NO_PROXY, push
from tests.waiting import until

BROKEN = "class Model:\n    def transform_predict(self):\n        return {}\n\nraise RuntimeError('no licence')\n"


@dataclass
class Run:
    """One run of the command. `code` once it has ended."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def code(self) -> int:
        return self.process.wait(60)

    def lines(self, **fields: Any) -> list[Record]:
        """The log records that have these fields."""
        return records(self.log.read_text(), **fields)


@dataclass
class Stage:
    """A repository, a cluster, and how to run the command on both."""

    git: GitServer
    api: ApiServer
    folder: Path

    def start(self, **env: str) -> Run:
        number = len(list(self.folder.glob("*.log")))
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("MODELSYNC_", "KUBE"))}
        given = {
            "KUBECONFIG": str(self.api.kubeconfig),
            "gitPath": self.git.url,
            "MODELSYNC_GIT_PROTOCOLS": "http",
            "MODELSYNC_ROLLOUT_DEPLOYMENT": "modelsync",
            "MODELSYNC_ROLLOUT_TIMEOUT": "30s",
            "MODELSYNC_HOME": str(self.folder / f"home-{number}"),
            "MODELSYNC_LOG_FORMAT": "json",
            **NO_PROXY,
        }
        log = self.folder / f"{number}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "modelsync", "rollout"], cwd=self.folder, env={**clean, **given, **env},
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        return Run(process, log)

    def run(self, **env: str) -> Run:
        run = self.start(**env)
        assert run.code is not None
        return run

    def rolled_out(self, value: object = 0) -> str:
        """A commit that is pinned and ready everywhere; its hash."""
        commit = push(self.git, value)
        self.api.pin_by_hand(commit)
        self.api.state["data"] = {"revision": commit, "good": commit}
        return commit


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with GitServer(tmp_path / "repository.git") as git, ApiServer(tmp_path) as api:
        yield Stage(git, api, tmp_path)


# --- what becomes of a commit -----------------------------------------------------------------------------------------


def test_a_new_commit_is_pinned_and_proven(stage: Stage) -> None:
    """It is checked, pinned once, ready everywhere, and the one to go back to; a run after it changes nothing."""
    commit = push(stage.git, 1)
    run = stage.run()
    assert run.code == 0, run.log.read_text()
    assert stage.api.pin == commit
    assert stage.api.pinned == [commit]
    assert stage.api.told() == ["RolloutStarted", "RolloutComplete"]
    assert {key: stage.api.data.get(key) for key in ("revision", "good", "rejected")} == {
        "revision": commit, "good": commit, "rejected": None,
    }  # fmt: skip
    steps = [line["result"] for line in run.lines(event="rollout")]
    assert steps == ["checking", "pinned", "RolloutStarted", "RolloutComplete", "resting"]
    for event in stage.api.events:
        assert event["involvedObject"]["kind"] == "Deployment"
        assert event["reportingComponent"] == "modelsync-rollout"
    calls = len(stage.api.calls)
    again = stage.run()
    assert (again.code, stage.api.calls[calls:]) == (0, stage.api.calls[:2])
    assert again.lines(event="rollout", result="resting")


def test_a_commit_that_breaks_a_good_model_is_rejected(stage: Stage) -> None:
    """Exit 1, an Event that names model, file and line, no pod touched; afterwards it rests until the ref moves."""
    good = stage.rolled_out()
    bad = stage.git.push({"Model/etls.py": BROKEN})
    run = stage.run()
    assert (run.code, stage.api.pin, stage.api.pinned) == (1, good, [])
    assert stage.api.told() == ["RolloutRejected"]
    assert "Model: etls.py:5: " in stage.api.events[0]["message"]
    assert "no licence" in stage.api.events[0]["message"]
    assert (stage.api.data["rejected"], stage.api.data["reason"], stage.api.data["good"]) == (bad, "check", good)
    again = stage.run()
    assert (again.code, stage.api.told()) == (0, ["RolloutRejected"])
    assert "was rejected and is not tried again" in again.lines(result="resting")[0]["message"]
    assert again.lines(result="checking") == []
    mended = push(stage.git, 2)
    assert (stage.run().code, stage.api.pin) == (0, mended)
    assert "rejected" not in stage.api.data


def test_what_was_broken_before_keeps_nothing_back(stage: Stage) -> None:
    """A model that is new and broken, or was broken before, rolls out with the good ones, and the pin says so."""
    stage.rolled_out()
    stage.git.push({"New/etls.py": BROKEN})
    run = stage.run()
    assert (run.code, stage.api.told()) == (0, ["RolloutStarted", "RolloutComplete"]), run.log.read_text()
    assert stage.api.pin.endswith(" except New")
    assert run.lines(result="pinned")[0]["broken"] == ["New"]
    commit = push(stage.git, 2)
    assert (stage.run().code, stage.api.pin) == (0, f"{commit} except New")
    assert stage.api.data["good"] == stage.api.pin
    stage.git.push({"Model/etls.py": BROKEN})
    assert (stage.run().code, stage.api.pin) == (1, f"{commit} except New")
    assert "Model: " in stage.api.data["message"]
    assert "New: " not in stage.api.data["message"]


@pytest.mark.parametrize(("policy", "code"), [("drop", 0), ("reject", 1)])
def test_the_policy_for_broken_models(stage: Stage, policy: str, code: int) -> None:
    """`drop` lets everything pass, `reject` nothing that is broken, also if it is new."""
    good = stage.rolled_out()
    commit = stage.git.push({"Model/etls.py": BROKEN} if policy == "drop" else {"New/etls.py": BROKEN})
    assert stage.run(MODELSYNC_ON_BROKEN_MODEL=policy).code == code
    assert stage.api.pin == (f"{commit} except Model" if policy == "drop" else good)


def test_a_commit_without_any_good_model_is_no_start(stage: Stage) -> None:
    """Nothing is pinned yet: all broken, or none there, is rejected; one good one is enough."""
    for files, code in (({"Model/etls.py": BROKEN}, 1), ({"Model/etls.py": None}, 1), ({"New/etls.py": answers(1)}, 0)):
        stage.git.push({"README.md": "hello", **files})
        assert stage.run().code == code
    assert stage.api.told() == ["RolloutRejected", "RolloutRejected", "RolloutStarted", "RolloutComplete"]


def test_a_commit_that_does_not_get_ready_is_rolled_back(stage: Stage) -> None:
    """Exit 1; the Event says what its pods say; what was ready before is pinned again, and the commit rests."""
    good = stage.rolled_out()
    bad = push(stage.git, 1)
    stage.api.fate[bad] = "stuck"
    stage.api.add_pod(
        bad,
        conditions=[{"type": "Ready", "status": "False"}],
        containerStatuses=[{
            "name": "modelsync", "image": "i", "imageID": "i", "ready": False, "restartCount": 3,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
            "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
        }],
    )  # fmt: skip
    stage.api.add_pod(good, conditions=[{"type": "Ready", "status": "False"}], containerStatuses=[])
    run = stage.run()
    assert run.code == 1, run.log.read_text()
    assert stage.api.pinned == [bad, good]
    assert stage.api.told() == ["RolloutStarted", "RolloutRolledBack"]
    for word in ("CrashLoopBackOff", "OOMKilled", good[:12], bad[:12]):
        assert word in stage.api.events[-1]["message"]
    assert (stage.api.data["rejected"], stage.api.data["reason"], stage.api.data["good"]) == (bad, "deadline", good)
    assert "OOMKilled" in stage.api.data["message"]
    assert stage.run().code == 0
    assert stage.api.pinned == [bad, good]


def test_a_push_during_a_rollout_that_hangs_takes_its_place(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next run does not wait for the deadline of a commit that nobody wants any more."""
    good = stage.rolled_out()
    hanging = push(stage.git, 1)
    stage.api.fate[hanging] = "slow"
    first = stage.start()
    until(lambda: stage.api.pin == hanging and first.lines(result="RolloutStarted"))
    first.process.terminate()
    assert first.code == 143
    better = push(stage.git, 2)
    assert stage.run().code == 0
    assert stage.api.pinned == [hanging, better]
    assert stage.api.data["good"] == better != good


def test_an_undo_by_hand_stands(stage: Stage) -> None:
    """`kubectl rollout undo`: said once, not tried again, whatever the image; the next commit is."""
    good = stage.rolled_out()
    commit = push(stage.git, 1)
    assert stage.run().code == 0
    stage.api.pin_by_hand(good)
    run = stage.run()
    assert (run.code, stage.api.pin, stage.api.told()[-1]) == (0, good, "RolloutUndone")
    assert (stage.api.data["rejected"], stage.api.data["reason"]) == (commit, "undone")
    assert stage.run(MODELSYNC_CHECK_TIMEOUT="59s").code == 0  # which makes it another environment
    assert (stage.api.pin, stage.api.told().count("RolloutUndone")) == (good, 1)
    newer = push(stage.git, 2)
    assert (stage.run().code, stage.api.pin) == (0, newer)


def test_a_rejected_commit_gets_another_chance_in_another_environment(stage: Stage) -> None:
    """A new image may have the library that was missing."""
    stage.rolled_out()
    bad = push(stage.git, 1)
    stage.api.fate[bad] = "stuck"
    assert stage.run().code == 1
    stage.api.fate.clear()
    assert stage.run().code == 0
    assert stage.api.pin != bad
    assert stage.run(MODELSYNC_CHECK_TIMEOUT="59s").code == 0
    assert stage.api.pin == bad


# --- what can go wrong ------------------------------------------------------------------------------------------------

SCENES = ("ready", "stuck", "broken")


def _scene(stage: Stage, scene: str) -> tuple[str, str, int]:
    """A repository whose tip has this fate; the commits before and after the runs, and what is pinned in the end."""
    good = stage.rolled_out()
    tip = stage.git.push({"Model/etls.py": BROKEN}) if scene == "broken" else push(stage.git, 1)
    if scene == "stuck":
        stage.api.fate[tip] = "stuck"
    return good, tip, 0 if scene == "ready" else 1


@pytest.mark.parametrize(("scene", "changes"), [("ready", 5), ("stuck", 6), ("broken", 2)])
def test_a_run_that_is_killed_after_any_change_is_healed_by_the_next(tmp_path: Path, scene: str, changes: int) -> None:
    """SIGKILL after each write and each Event: the next run ends where one run would have ended, and tells it once."""
    for number in range(1, changes + 1):
        _killed_after(number, scene, tmp_path / f"kill-{number}")


def _killed_after(number: int, scene: str, folder: Path) -> None:
    """Kill a run after its nth change and see that the next one heals that."""
    folder.mkdir()
    with GitServer(folder / "repository.git") as git, ApiServer(folder) as api:
        stage = Stage(git, api, folder)
        good, tip, _ = _scene(stage, scene)
        changes: list[str] = []
        started: list[Run] = []

        def strike(method: str, path: str) -> None:
            if method != "GET" and len(started) == 1:
                changes.append(path)
                if len(changes) == number:
                    started[0].process.kill()
                    started[0].process.wait(10)

        api.after = strike
        started.append(stage.start())
        assert started[0].code == -signal.SIGKILL, number
        started.append(stage.start())
        assert started[1].code in {0, 1}, started[1].log.read_text()
        assert api.pin == (tip if scene == "ready" else good), number
        assert api.data["good"] == (tip if scene == "ready" else good)
        assert api.data.get("rejected") == (None if scene == "ready" else tip)
        told = {"ready": "RolloutComplete", "stuck": "RolloutRolledBack", "broken": "RolloutRejected"}[scene]
        assert api.told().count(told) == 1, (number, api.told())


@pytest.mark.parametrize("scene", SCENES)
def test_two_at_once_do_what_one_does(stage: Stage, scene: str) -> None:
    """Both end, the pods are pinned as by one, and each Event is there once."""
    good, tip, _ = _scene(stage, scene)
    runs = [stage.start(), stage.start()]
    assert {run.code for run in runs} <= {0, 1}
    assert stage.api.pin == (tip if scene == "ready" else good)
    assert stage.api.pinned == {"ready": [tip], "stuck": [tip, good], "broken": []}[scene]
    assert len(stage.api.told()) == len(set(stage.api.told()))


def test_somebody_else_changes_the_deployment_meanwhile(stage: Stage) -> None:
    """The autoscaler, say, between the look and the patch: the patch is refused, and it is looked at again."""
    stage.rolled_out()
    commit = push(stage.git, 1)
    scaled = 0

    def scale(method: str, path: str) -> None:
        nonlocal scaled
        if method == "PATCH" and "deployments" in path and scaled < 2:
            scaled += 1
            stage.api._touch(stage.api.deployment)

    stage.api.before = scale
    run = stage.run()
    assert (run.code, stage.api.pin, len(run.lines(result="conflict"))) == (0, commit, 2)


@pytest.mark.parametrize("fault", ["reset", "500", "hang"])
def test_the_api_server_fails_and_comes_back(stage: Stage, fault: str) -> None:
    """In the middle of a rollout: the run waits for it and goes on."""
    stage.rolled_out()
    commit = push(stage.git, 1)
    run = stage.start()
    until(lambda: run.lines(result="pinned"))
    stage.api.fault = fault  # type: ignore[assignment]
    calls = len(stage.api.calls)
    until(lambda: len(stage.api.calls) > calls + (0 if fault == "hang" else 2))
    stage.api.fault = ""
    assert (run.code, stage.api.data["good"]) == (0, commit), run.log.read_text()


def test_the_api_server_restarts(stage: Stage) -> None:
    """Connections are refused for a while."""
    stage.rolled_out()
    commit = push(stage.git, 1)
    stage.api.fate[commit] = "slow"
    run = stage.start()
    until(lambda: run.lines(result="RolloutStarted"))
    with stage.api.away():
        until(lambda: "trying again" in run.log.read_text())
    stage.api.fate.clear()
    assert (run.code, stage.api.data["good"]) == (0, commit)


def test_the_api_server_stays_away(stage: Stage) -> None:
    """Exit 75 within the run's own deadline, with the reason; nothing has changed."""
    good = stage.rolled_out()
    push(stage.git, 1)
    with stage.api.away():
        run = stage.run(MODELSYNC_ROLLOUT_TIMEOUT="3s")
    assert run.code == 75
    assert run.lines(result="unknown", reason="cluster")
    assert (stage.api.pin, stage.api.told()) == (good, [])


def test_the_repository_stays_away(stage: Stage) -> None:
    """Exit 75 within the run's own deadline, and nothing has changed."""
    good = stage.rolled_out()
    push(stage.git, 1)
    with stage.git.away():
        run = stage.run(MODELSYNC_ROLLOUT_TIMEOUT="3s")
    assert run.code == 75
    assert run.lines(result="unknown", reason="unreachable")
    assert (stage.api.pin, stage.api.told(), stage.api.writes()) == (good, [], [])


def test_nobody_is_rejected_for_a_repository_that_is_away(stage: Stage) -> None:
    """Pods that cannot fetch do not get ready: that is told as unknown, and the commit keeps its chance."""
    stage.rolled_out()
    commit = push(stage.git, 1)
    stage.api.fate[commit] = "slow"
    run = stage.start(MODELSYNC_SYNC_TIMEOUT="5s")
    until(lambda: run.lines(result="RolloutStarted"))
    with stage.git.away():
        stage.api.fate[commit] = "stuck"
        assert run.code == 75
    assert (stage.api.pin, "rejected" in stage.api.data) == (commit, False)
    stage.api.fate.clear()
    assert (stage.run().code, stage.api.data["good"]) == (0, commit)


def test_a_rollout_that_takes_longer_than_a_run(stage: Stage) -> None:
    """Exit 75, and the next run goes on watching where this one ended."""
    stage.rolled_out()
    commit = push(stage.git, 1)
    stage.api.fate[commit] = "slow"
    run = stage.run(MODELSYNC_ROLLOUT_TIMEOUT="6s")
    assert run.code == 75
    assert "still on its way" in run.lines(result="unknown")[0]["message"]
    stage.api.fate.clear()
    again = stage.run()
    assert (again.code, stage.api.data["good"], again.lines(result="checking")) == (0, commit, [])


def test_a_paused_deployment_is_left_alone(stage: Stage) -> None:
    """Somebody wants it to stay as it is."""
    good = stage.rolled_out()
    push(stage.git, 1)
    stage.api.deployment["spec"]["paused"] = True
    run = stage.run()
    assert (run.code, stage.api.pin) == (0, good)
    assert "paused" in run.lines(result="resting")[0]["message"]


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"MODELSYNC_ROLLOUT_DEPLOYMENT": ""}, "MODELSYNC_ROLLOUT_DEPLOYMENT"),
        ({"KUBECONFIG": "nothing-here"}, "no cluster"),
    ],
)
def test_settings_that_cannot_work(stage: Stage, env: dict[str, str], words: str) -> None:
    """Exit 2 and one line that says what to set."""
    run = stage.run(**env)
    assert run.code == 2
    assert words in run.log.read_text()
    assert len(run.log.read_text().splitlines()) == 1


def test_without_a_repository_there_is_nothing_to_do(stage: Stage) -> None:
    """As in `k8s/` before it is edited: the CronJob must not fail every five minutes."""
    good = stage.rolled_out()
    run = stage.run(gitPath="")
    assert (run.code, stage.api.pin) == (0, good)
    assert "gitPath is not set" in run.lines(result="resting")[0]["message"]
