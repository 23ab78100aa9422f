"""`modelsync rollout` as the CronJob runs it: exit code, log, Events, state, and what the pods are
pinned to.
"""

from __future__ import annotations

import pytest

from tests.fixtures.service import answers
from tests.rollout.stage import BROKEN, Stage
from tests.service.following import push
from tests.waiting import until


def test_a_new_commit_is_pinned_and_proven(stage: Stage) -> None:
    """It is checked, pinned once, ready everywhere, and the one to go back to; a run after it
    changes nothing.
    """
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
    """Exit 1, an Event that names model, file and line, no pod touched; afterwards it rests until
    the ref moves.
    """
    good = stage.rolled_out()
    bad = stage.git.push({"Model/etls.py": BROKEN})
    run = stage.run()
    assert (run.code, stage.api.pin, stage.api.pinned) == (1, good, [])
    assert stage.api.told() == ["RolloutRejected"]
    assert "Model: etls.py:5: " in stage.api.events[0]["message"]
    assert "no licence" in stage.api.events[0]["message"]
    assert (stage.api.data["rejected"], stage.api.data["reason"], stage.api.data["good"]) == (
        bad,
        "check",
        good,
    )
    again = stage.run()
    assert (again.code, stage.api.told()) == (0, ["RolloutRejected"])
    assert "was rejected and is not tried again" in again.lines(result="resting")[0]["message"]
    assert again.lines(result="checking") == []
    mended = push(stage.git, 2)
    assert (stage.run().code, stage.api.pin) == (0, mended)
    assert "rejected" not in stage.api.data


@pytest.mark.long
def test_what_was_broken_before_keeps_nothing_back(stage: Stage) -> None:
    """A model that is new and broken, or was broken before, rolls out with the good ones, and the
    pin says so.
    """
    stage.rolled_out()
    stage.git.push({"New/etls.py": BROKEN})
    run = stage.run()
    assert (run.code, stage.api.told()) == (0, ["RolloutStarted", "RolloutComplete"]), (
        run.log.read_text()
    )
    assert stage.api.pin.endswith(" except New")
    assert run.lines(result="pinned")[0]["broken"] == ["New"]
    commit = push(stage.git, 2)
    assert (stage.run().code, stage.api.pin) == (0, f"{commit} except New")
    assert stage.api.data["good"] == stage.api.pin
    stage.git.push({"Model/etls.py": BROKEN})
    assert (stage.run().code, stage.api.pin) == (1, f"{commit} except New")
    assert "Model: " in stage.api.data["message"]
    assert "New: " not in stage.api.data["message"]


@pytest.mark.long
@pytest.mark.parametrize(("policy", "code"), [("drop", 0), ("reject", 1)])
def test_the_policy_for_broken_models(stage: Stage, policy: str, code: int) -> None:
    """`drop` lets everything pass, `reject` nothing that is broken, also if it is new."""
    good = stage.rolled_out()
    commit = stage.git.push(
        {"Model/etls.py": BROKEN} if policy == "drop" else {"New/etls.py": BROKEN}
    )
    assert stage.run(MODELSYNC_ON_BROKEN_MODEL=policy).code == code
    assert stage.api.pin == (f"{commit} except Model" if policy == "drop" else good)


@pytest.mark.long
def test_a_commit_without_any_good_model_is_no_start(stage: Stage) -> None:
    """Nothing is pinned yet: all broken, or none there, is rejected; one good one is enough."""
    for files, code in (
        ({"Model/etls.py": BROKEN}, 1),
        ({"Model/etls.py": None}, 1),
        ({"New/etls.py": answers(1)}, 0),
    ):
        stage.git.push({"README.md": "hello", **files})
        assert stage.run().code == code
    assert stage.api.told() == [
        "RolloutRejected",
        "RolloutRejected",
        "RolloutStarted",
        "RolloutComplete",
    ]


@pytest.mark.long
def test_a_commit_that_does_not_get_ready_is_rolled_back(stage: Stage) -> None:
    """Exit 1; the Event says what its pods say; what was ready before is pinned again, and the
    commit rests.
    """
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
    assert (stage.api.data["rejected"], stage.api.data["reason"], stage.api.data["good"]) == (
        bad,
        "deadline",
        good,
    )
    assert "OOMKilled" in stage.api.data["message"]
    assert stage.run().code == 0
    assert stage.api.pinned == [bad, good]


@pytest.mark.long
def test_a_push_during_a_rollout_that_hangs_takes_its_place(stage: Stage) -> None:
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


@pytest.mark.long
def test_an_undo_by_hand_stands(stage: Stage) -> None:
    """A run reports `kubectl rollout undo` once and lets it stand until the next commit."""
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


@pytest.mark.long
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


@pytest.mark.long
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
