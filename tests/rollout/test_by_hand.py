"""What people do to a rollout: they pin, undo, try again, and ask how far it is."""

from __future__ import annotations

import json

import pytest

from tests.rollout.stage import BROKEN, Stage
from tests.service.following import push

pytestmark = pytest.mark.long

GOOD_AND_BROKEN = {"New/etls.py": BROKEN}


def rolled_out(stage: Stage) -> tuple[str, str]:
    """Two commits, of which the second is rolled out; their hashes."""
    first = stage.rolled_out()
    second = push(stage.git, 1)
    stage.api.pin_by_hand(second)
    stage.api.state["data"] = {"revision": second, "good": second}
    return first, second


@pytest.mark.parametrize("name", ["short", "tag", "upper case"])
def test_a_pin_that_is_no_full_hash_is_made_one(stage: Stage, name: str) -> None:
    """The commit that was meant is pinned, and good once it is ready; the ref's one is undone."""
    first, second = rolled_out(stage)
    stage.git.tag("v1", first)
    text = {"short": first[:8], "tag": "v1", "upper case": first.upper()}[name]
    stage.api.pin_by_hand(text, settled=False)
    run = stage.run()
    assert (run.code, stage.api.pin, stage.api.pinned) == (0, first, [first]), run.log.read_text()
    assert stage.api.told() == ["RolloutPinned", "RolloutUndone"]
    assert (stage.api.data["good"], stage.api.data["rejected"]) == (first, second)
    again = stage.run()
    assert (again.code, stage.api.pin) == (0, first)


@pytest.mark.parametrize("text", ["abcdef1", "nothing-like-it", "..", "-x y"])
def test_a_pin_that_names_no_commit_is_taken_back(stage: Stage, text: str) -> None:
    """To what was good, with an Event that says how to pin."""
    _, second = rolled_out(stage)
    stage.api.pin_by_hand(text, settled=False)
    run = stage.run()
    assert (run.code, stage.api.pin, stage.api.data["good"]) == (1, second, second)
    assert stage.api.told() == ["RolloutPinRefused"]
    assert "modelsync rollout --pin" in stage.api.events[0]["message"]
    assert "rejected" not in stage.api.data
    assert (stage.run().code, stage.api.pin) == (0, second)


def test_a_full_hash_of_no_commit_is_taken_back(stage: Stage) -> None:
    """Once its pods have had their time, and not before."""
    _, second = rolled_out(stage)
    stage.api.fate["1" * 40] = "stuck"
    stage.api.pin_by_hand("1" * 40, settled=False)
    run = stage.run()
    assert (run.code, stage.api.pin, stage.api.data["good"]) == (1, second, second)
    assert stage.api.told() == ["RolloutUndone", "RolloutPinRefused"]


@pytest.mark.parametrize("known", [True, False])
def test_a_state_that_an_older_version_has_spoilt_heals(stage: Stage, known: bool) -> None:
    """It took a short hash for good before any pod was ready, and rejected the tip."""
    first, second = rolled_out(stage)
    text = first[:7] if known else "1234567"
    stage.api.pin_by_hand(text, settled=False)
    stage.api.state["data"] = {
        "revision": text, "good": text, "rejected": second, "reason": "undone", "message": "so",
    }  # fmt: skip
    run = stage.run()
    wanted = first if known else second
    assert run.code == (0 if known else 1), run.log.read_text()
    assert (stage.api.pin, stage.api.data["good"]) == (wanted, wanted)


def test_a_commit_is_pinned_until_the_ref_moves(stage: Stage) -> None:
    """By any name; the runs after it leave it alone, and the next push takes its place."""
    first, second = rolled_out(stage)
    stage.git.tag("v1", first, annotated=True)
    run = stage.run("--pin", "v1")
    assert (run.code, stage.api.pin, stage.api.data["good"]) == (0, first, first)
    assert stage.api.told() == ["RolloutPinned"]
    assert (stage.api.data["rejected"], stage.api.data["reason"]) == (second, "pinned")
    again = stage.run()
    assert (again.code, stage.api.pin) == (0, first)
    assert "--retry" in again.lines(result="resting")[0]["message"]
    third = push(stage.git, 2)
    assert (stage.run().code, stage.api.pin) == (0, third)


def test_a_pin_is_taken_away_by_trying_the_ref_again(stage: Stage) -> None:
    """`--retry` forgets the pin, an undo, and a rejection."""
    first, second = rolled_out(stage)
    assert stage.run("--pin", first[:7]).code == 0
    assert stage.api.pin == first
    assert (stage.run("--retry").code, stage.api.pin) == (0, second)
    stage.api.pin_by_hand(first)
    assert (stage.run().code, stage.api.pin, stage.api.data["rejected"]) == (0, first, second)
    assert (stage.run("--retry").code, stage.api.pin) == (0, second)


def test_a_pinned_commit_says_which_models_are_broken_in_it(stage: Stage) -> None:
    """So that its pods become ready without them, as they were when it was rolled out."""
    stage.rolled_out()
    partly = stage.git.push(GOOD_AND_BROKEN)
    push(stage.git, 2, {"New/etls.py": None})
    assert stage.run("--pin", partly[:9]).code == 0
    assert stage.api.pin == stage.api.data["good"] == f"{partly} except New"


@pytest.mark.parametrize("name", ["nothing-like-it", "abcdef1", "a b"])
def test_what_names_no_commit_is_not_pinned(stage: Stage, name: str) -> None:
    """Exit 2 and one line; nothing has changed."""
    good = stage.rolled_out()
    run = stage.run("--pin", name)
    assert (run.code, stage.api.pin, stage.api.writes(), stage.api.told()) == (2, good, [], [])
    assert f"--pin {name}" in run.log.read_text()


def test_a_rejected_commit_is_tried_again_when_asked(stage: Stage) -> None:
    """What was missing is there by now."""
    stage.rolled_out()
    commit = push(stage.git, 1)
    stage.api.fate[commit] = "stuck"
    assert stage.run().code == 1
    stage.api.fate.clear()
    resting = stage.run()
    assert (resting.code, stage.api.data["rejected"]) == (0, commit)
    assert (stage.run("--retry").code, stage.api.pin, stage.api.data["good"]) == (0, commit, commit)
    assert "rejected" not in stage.api.data


def test_how_far_it_is(stage: Stage) -> None:
    """For people and for programs; nothing is changed by the question."""
    good = stage.rolled_out()
    shown = stage.run("--status")
    assert shown.code == 0
    assert f"good: {good}" in shown.log.read_text()
    bad = stage.git.push({"Model/etls.py": BROKEN})
    assert stage.run().code == 1
    writes = stage.api.writes()
    run = stage.run("--status", "--json", MODELSYNC_LOG_LEVEL="error")
    found = json.loads(run.log.read_text())
    assert run.code == 1
    assert (found["ref"], found["tip"], found["pinned"], found["good"]) == ("HEAD", bad, good, good)
    assert (found["progress"], found["pods"]["available"], found["rolled_out"]) == (
        "done",
        3,
        False,
    )
    assert (found["rejected"]["commit"], found["rejected"]["reason"]) == (bad, "check")
    assert "no licence" in found["rejected"]["message"]
    assert found["rejected"]["retry"] is None
    with stage.git.away():
        run = stage.run("--status", MODELSYNC_SYNC_TIMEOUT="5s")
    assert "cannot be read" in run.log.read_text()
    assert stage.api.writes() == writes


@pytest.mark.parametrize(
    "options", [("--retry", "--status"), ("--pin", "x", "--retry"), ("--json",)]
)
def test_options_that_contradict_each_other(stage: Stage, options: tuple[str, ...]) -> None:
    """Exit 2."""
    assert stage.run(*options).code == 2
