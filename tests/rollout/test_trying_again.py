"""A commit that was rejected for a cause that may pass is tried again; Events tell what is so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.rollout.stage import Stage
from tests.service.following import push

AWAY = (
    "class Model:\n    def transform_predict(self):\n        return {}\n\n"
    "raise ConnectionError('the database is away')\n"
)
PAST = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()


def test_a_check_whose_cause_may_pass(stage: Stage) -> None:
    """Exit 75 and an Event that says when it is checked again; not before, and then it is."""
    good = stage.rolled_out()
    commit = stage.git.push({"Model/etls.py": AWAY})
    run = stage.run()
    assert (run.code, stage.api.pin, stage.api.told()) == (75, good, ["RolloutPostponed"])
    assert "the database is away" in stage.api.events[0]["message"]
    due = datetime.fromisoformat(stage.api.data["retry"])
    assert timedelta(0) < due - datetime.now(UTC) <= timedelta(seconds=120)
    assert (stage.api.data["rejected"], stage.api.data["tries"]) == (commit, "1")
    resting = stage.run()
    assert (resting.code, resting.lines(result="checking")) == (0, [])
    assert "before" in resting.lines(result="resting")[0]["message"]
    stage.api.state["data"]["retry"] = PAST
    assert stage.run().code == 75
    assert stage.api.data["tries"] == "2"


@pytest.mark.long
def test_pods_that_were_kept_from_getting_ready(stage: Stage) -> None:
    """Memory ran out, say: rolled back, and tried again later, with more time after each try."""
    good = stage.rolled_out()
    commit = push(stage.git, 1)
    stage.api.fate[commit] = "stuck"
    for tries in ("1", "2"):
        assert stage.run().code == 1
        assert (stage.api.pin, stage.api.data["tries"]) == (good, tries)
        assert stage.api.data["retry"]
        stage.api.state["data"]["retry"] = PAST
    stage.api.fate.clear()
    assert (stage.run().code, stage.api.pin, stage.api.data["good"]) == (0, commit, commit)
    assert {"retry", "rejected"}.isdisjoint(stage.api.data)


@pytest.mark.long
def test_a_ref_that_comes_back_starts_no_rollout(stage: Stage) -> None:
    """A push, rolled back; then a force-push to what serves all the time: no Event tells of one."""
    good = stage.rolled_out()
    stage.api.fate[push(stage.git, 1)] = "stuck"
    assert stage.run().code == 1
    told = stage.api.told()
    stage.git.git("update-ref", "refs/heads/main", good)
    run = stage.run()
    assert (run.code, stage.api.pin, stage.api.told()) == (0, good, told)
    assert "rejected" not in stage.api.data


def test_the_first_commit_has_nothing_to_go_back_to(stage: Stage) -> None:
    """It stays pinned, so that its pods say what is wrong; once that has passed it is good."""
    commit = push(stage.git, 1)
    stage.api.fate[commit] = "stuck"
    run = stage.run()
    assert (run.code, stage.api.pin, stage.api.told()[-1]) == (1, commit, "RolloutStuck")
    assert (stage.run().code, stage.api.pinned) == (0, [commit])
    stage.api.fate.clear()
    assert (stage.run().code, stage.api.data["good"]) == (0, commit)
