"""The follower is cut off, doubled or killed: it goes on, or the next one does."""

from __future__ import annotations

import signal
from functools import partial

import psutil
import pytest

from tests.fixtures.service import answers
from tests.rollout.followed import NEVER, Followed, following
from tests.rollout.stage import Stage
from tests.service.following import push
from tests.waiting import patient, until

pytestmark = pytest.mark.long

SLOW = "import time\ntime.sleep(3600)\n" + answers(1)


def _failed_again(one: Followed) -> bool:
    """Whether it has asked the repository in vain more than once."""
    named = {"deployment": "modelsync", "result": "unreachable"}
    return one.metric("follower_polls_total", **named) > 1


def test_the_repository_is_away(stage: Stage) -> None:
    """That is told once, by log, GET and metrics; pods on their way are watched; then the next
    commit comes, and a request does not wait for the back-off.
    """
    stage.rolled_out()
    slow = push(stage.git, 1)
    stage.api.fate[slow] = "slow"
    with following(stage) as one:
        until(lambda: stage.api.pin == slow)
        with stage.git.away():
            until(lambda: one.status()["reason"] == "unreachable", 60)
            stage.api.fate.clear()
            until(lambda: stage.api.data["good"] == slow, 60)
            until(partial(_failed_again, one), 60)
            assert one.get("/readyz").status_code == 200
            assert one.status()["result"] == "failed"
        commit = push(stage.git, 2)
        assert one.ask(wait=60).json()["served"] == commit
        told = one.run.lines(result="retry")
        assert 1 <= len({line["message"] for line in told}) == len(told), told
        assert len(one.run.lines(result="recovered")) == 1


@pytest.mark.parametrize("fault", ["away", "hang", "500", "reset", "403"])
def test_the_api_server_fails_and_comes_back(stage: Stage, fault: str) -> None:
    """For as long as it likes: the process stays, says why, and goes on."""
    stage.rolled_out()
    with following(stage) as one:
        until(lambda: one.status()["wanted"])
        commit = push(stage.git, 1)
        if fault == "away":
            with stage.api.away():
                until(lambda: one.status()["reason"] == "cluster", 60)
        else:
            stage.api.fault = fault  # type: ignore[assignment]
            until(lambda: one.status()["reason"] in {"cluster", "settings"}, 60)
            stage.api.fault = ""
        one.settled(commit)
        assert len(one.run.lines(result="recovered")) == 1


@pytest.mark.parametrize("moment", ["resting", "checking", "waiting", "asking", "fetching"])
def test_it_ends_at_once(stage: Stage, moment: str) -> None:
    """SIGTERM at any point: exit 0 within seconds, and nothing that it has started is left."""
    stage.rolled_out()
    with following(stage, MODELSYNC_ROLLOUT_POLL=NEVER) as one:
        until(lambda: one.status()["wanted"])
        match moment:
            case "checking":
                stage.git.push({"Model/etls.py": SLOW})
                one.ask()
                until(lambda: one.run.lines(result="checking") and len(one.children()) > 1)
            case "waiting":
                commit = push(stage.git, 1)
                stage.api.fate[commit] = "slow"
                one.ask()
                until(lambda: stage.api.pin == commit)
            case "asking":
                stage.api.fault = "hang"
                one.ask()
                calls = len(stage.api.calls)
                until(lambda: len(stage.api.calls) > calls)
            case "fetching":
                stage.git.fault = "hang"
                one.ask()
                until(lambda: one.children() != [])
        family = one.children()
        assert one.stop() == 0
        _, alive = psutil.wait_procs(family, patient(5))
        assert alive == []
    assert one.run.process.returncode == 0


def test_one_that_is_killed_is_healed_by_the_next(stage: Stage) -> None:
    """With pods on their way: the next one watches them, and records that they are ready."""
    stage.rolled_out()
    commit = push(stage.git, 1)
    stage.api.fate[commit] = "slow"
    with following(stage) as one:
        until(lambda: stage.api.told() == ["RolloutStarted"])
        one.run.process.send_signal(signal.SIGKILL)
        one.run.process.wait(patient(10))
    stage.api.fate.clear()
    with following(stage) as one:
        one.settled(commit)
    assert stage.api.told() == ["RolloutStarted", "RolloutComplete"]
    assert stage.api.pinned == [commit]


def test_a_job_beside_it_does_no_harm(stage: Stage) -> None:
    """The CronJob is the fallback: two followers and a job do what one does."""
    stage.rolled_out()
    with following(stage) as one, following(stage) as other:
        commit = push(stage.git, 1)
        assert stage.run().code == 0
        one.settled(commit)
        other.settled(commit)
    assert stage.api.pinned == [commit]
    assert stage.api.told() == ["RolloutStarted", "RolloutComplete"]


def test_a_conflict_is_no_trouble(stage: Stage) -> None:
    """Somebody else changes the Deployment between the look and the patch."""
    stage.rolled_out()
    changed = 0

    def touch(method: str, path: str) -> None:
        nonlocal changed
        if method == "PATCH" and "deployments" in path and changed < 2:
            changed += 1
            stage.api._touch(stage.api.deployment)

    stage.api.before = touch
    with following(stage) as one:
        commit = push(stage.git, 1)
        one.settled(commit)
        assert len(one.run.lines(result="conflict")) == 2
