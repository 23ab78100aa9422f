"""`modelsync rollout` is killed, doubled, or cut off from the cluster or the repository: the next
run heals it.
"""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fixtures.git import GitServer
from tests.fixtures.kubernetes import ApiServer
from tests.rollout.stage import BROKEN, Run, Stage
from tests.service.following import push
from tests.waiting import patient, setting, until

pytestmark = pytest.mark.long

SCENES = ("ready", "stuck", "broken")


def _scene(stage: Stage, scene: str) -> tuple[str, str, int]:
    """A repository whose tip has this fate; the commits before and after the runs, and what is
    pinned in the end.
    """
    good = stage.rolled_out()
    tip = stage.git.push({"Model/etls.py": BROKEN}) if scene == "broken" else push(stage.git, 1)
    if scene == "stuck":
        stage.api.fate[tip] = "stuck"
    return good, tip, 0 if scene == "ready" else 1


@pytest.mark.parametrize(("scene", "changes"), [("ready", 5), ("stuck", 6), ("broken", 2)])
def test_a_run_that_is_killed_after_any_change_is_healed_by_the_next(
    tmp_path: Path, scene: str, changes: int
) -> None:
    """SIGKILL after each write and each Event: the next run ends where one run would have ended,
    and tells it once.
    """
    with ThreadPoolExecutor(3) as pool:
        kills = [
            pool.submit(_killed_after, number, scene, tmp_path / f"kill-{number}")
            for number in range(1, changes + 1)
        ]
    for kill in kills:
        kill.result()


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
                    started[0].process.wait(patient(30))

        api.after = strike
        started.append(stage.start())
        assert started[0].code == -signal.SIGKILL, number
        started.append(stage.start())
        assert started[1].code in {0, 1}, started[1].log.read_text()
        assert api.pin == (tip if scene == "ready" else good), number
        assert api.data["good"] == (tip if scene == "ready" else good)
        assert api.data.get("rejected") == (None if scene == "ready" else tip)
        told = {
            "ready": "RolloutComplete",
            "stuck": "RolloutRolledBack",
            "broken": "RolloutRejected",
        }[scene]
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
    """The autoscaler, say, between the look and the patch: the patch is refused, and it is looked
    at again.
    """
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


def test_pods_that_are_late_and_silent_blame_nobody(stage: Stage) -> None:
    """As after an outage of the API server that was longer than their deadline: the run waits, the
    next one too, and the commit is good once they are ready.
    """
    good = stage.rolled_out()
    commit = push(stage.git, 1)
    stage.api.fate[commit] = "late"
    run = stage.run(MODELSYNC_ROLLOUT_TIMEOUT=setting(10))
    assert (run.code, len(run.lines(result="waiting")) > 0) == (75, True), run.log.read_text()
    assert (stage.api.pin, stage.api.data["good"], stage.api.told()) == (
        commit,
        good,
        ["RolloutStarted"],
    )
    run = stage.start()
    until(lambda: run.lines(result="waiting"))
    stage.api.fate.clear()
    assert (run.code, stage.api.data["good"]) == (0, commit), run.log.read_text()


def test_the_api_server_stays_away(stage: Stage) -> None:
    """Exit 75 within the run's own deadline, with the reason; nothing has changed."""
    good = stage.rolled_out()
    push(stage.git, 1)
    with stage.api.away():
        run = stage.run(MODELSYNC_ROLLOUT_TIMEOUT=setting(8))
    assert run.code == 75
    assert run.lines(result="unknown", reason="cluster")
    assert (stage.api.pin, stage.api.told()) == (good, [])


def test_the_repository_stays_away(stage: Stage) -> None:
    """Exit 75 within the run's own deadline, and nothing has changed."""
    good = stage.rolled_out()
    push(stage.git, 1)
    with stage.git.away():
        run = stage.run(MODELSYNC_ROLLOUT_TIMEOUT=setting(8))
    assert run.code == 75
    assert run.lines(result="unknown", reason="unreachable")
    assert (stage.api.pin, stage.api.told(), stage.api.writes()) == (good, [], [])


def test_nobody_is_rejected_for_a_repository_that_is_away(stage: Stage) -> None:
    """Pods that cannot fetch do not get ready: that is told as unknown, and the commit keeps its
    chance.
    """
    stage.rolled_out()
    commit = push(stage.git, 1)
    stage.api.fate[commit] = "slow"
    run = stage.start(MODELSYNC_SYNC_TIMEOUT=setting(5))
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
    run = stage.run(MODELSYNC_ROLLOUT_TIMEOUT=setting(15))
    assert run.code == 75
    assert "still on its way" in run.lines(result="unknown")[0]["message"]
    stage.api.fate.clear()
    again = stage.run()
    assert (again.code, stage.api.data["good"], again.lines(result="checking")) == (0, commit, [])
