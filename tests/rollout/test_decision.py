"""From every state that a run can find, also one that a dead run left: where the steps lead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Literal

import pytest

from modelsync.rollout.decision import Observed, RolloutState, Step, decide
from modelsync.settings import NO_REVISION, Revision

OLD, TIP, OTHER = "a" * 40, "b" * 40, "c" * 40
HERE = "environment"

Fate = Literal["gets ready", "gets stuck", "is rejected by the check"]


def pods(progress: str, pin: str = "", **more: object) -> Observed:
    """A Deployment of three replicas that is so far."""
    found = {
        "done": Observed(wanted=3, total=3, updated=3, available=3),
        "under way": Observed(wanted=3, total=4, updated=1, available=3),
        "stuck": Observed(wanted=3, total=4, updated=1, available=3, timed_out=True),
        "not observed": Observed(
            wanted=3, total=3, updated=3, available=3, observed=False, timed_out=True
        ),
        "paused": Observed(wanted=3, total=4, updated=1, available=3, paused=True),
        "empty": Observed(),
    }[progress]
    return replace(found, pin=Revision(pin) if pin else NO_REVISION, **more)  # type: ignore[arg-type]


PROGRESS = ("done", "under way", "stuck", "not observed", "paused", "empty")


@pytest.mark.parametrize(
    ("seen", "progress"),
    [
        (Observed(wanted=2, total=2, updated=2, available=2), "done"),
        (Observed(wanted=2, total=3, updated=2, available=3), "under way"),  # an old pod is left
        (Observed(wanted=2, total=2, updated=2, available=1), "under way"),
        (Observed(wanted=5, total=2, updated=2, available=2), "under way"),  # just scaled
        (
            Observed(wanted=2, total=2, updated=2, available=2, observed=False),
            "under way",
        ),  # just patched
        (Observed(wanted=2, total=3, updated=1, available=2, timed_out=True), "stuck"),
        (
            Observed(wanted=2, total=3, updated=1, available=2, timed_out=True, observed=False),
            "under way",
        ),
        (Observed(wanted=2, total=2, updated=2, available=2, timed_out=True), "done"),
        (Observed(wanted=2, total=3, updated=1, available=2, paused=True), "paused"),
        (Observed(), "empty"),
    ],
)
def test_progress(seen: Observed, progress: str) -> None:
    """Rolled out is what is ready in every pod, with no old pod left; conditions of an earlier
    change do not count.
    """
    assert seen.progress == progress


def worlds() -> Iterator[tuple[Observed, RolloutState]]:
    """Every Deployment with every state beside it."""
    commits = ("", OLD, TIP, OTHER)
    for progress, pin, revision, good, rejected, where in product(
        PROGRESS, commits, commits, commits, commits, (HERE, "elsewhere", "")
    ):
        if rejected or where == "":
            state = RolloutState(revision, Revision(good) if good else NO_REVISION, rejected, where)
            yield pods(progress, pin), state


def live(  # noqa: C901  a case for each step
    seen: Observed, state: RolloutState, fate: Fate
) -> tuple[Observed, RolloutState, list[Step]]:
    """What a run makes of a world, with the pods of the tip having this fate; no step may come for
    ever.
    """
    steps: list[Step] = []
    while (step := decide(TIP, seen, state, HERE)) is not Step.REST:
        steps.append(step)
        assert len(steps) < 12, steps
        match step:
            case Step.WAIT:
                seen = pods("stuck" if fate == "gets stuck" else "done", seen.pin.commit)
            case Step.CHECK if fate == "is rejected by the check":
                state = state.rejecting(TIP, HERE, "check", "broken")
            case Step.CHECK:
                seen = pods("not observed", TIP)
            case Step.NOTE:
                state = state.noting(TIP)
            case Step.SETTLE:
                state = state.settling(seen.pin)
            case Step.ADOPT:
                state = state.adopting(seen.pin)
            case Step.RESPECT:
                state = state.respecting(TIP, seen.pin, "undone")
            case Step.REJECT_STUCK:
                state = state.rejecting(TIP, HERE, "deadline", "stuck")
            case Step.PIN_BACK:
                seen = pods("not observed", state.good.commit)
    return seen, state, steps


@pytest.mark.parametrize("fate", ["gets ready", "gets stuck", "is rejected by the check"])
def test_every_run_ends_well(fate: Fate) -> None:
    """From wherever a dead run, a person or another run left things: few steps, and then what ought
    to be is.
    """
    seen_worlds = 0
    for seen, state in worlds():
        seen_worlds += 1
        end, after, steps = live(seen, state, fate)
        about = (seen, state, steps)
        if seen.paused:
            assert steps == [], about
        elif after.rejects(TIP, HERE):
            assert end.pin.commit != TIP or end.progress == "empty" or after.good.commit == TIP, (
                about
            )
        elif fate == "gets ready" or seen.pin.commit == TIP:
            assert end.pin.commit == TIP, about
            assert after.revision == TIP, about
            assert after.good.commit == TIP or end.progress == "empty", about
        else:  # stuck or rejected, unless it was ready once, so that it is not to blame
            assert after.rejected == TIP or (end.pin.commit == after.good.commit == TIP), about
        if fate == "is rejected by the check" and seen.pin.commit != TIP:
            assert end == seen, about  # no pod has seen it
    assert seen_worlds > 1000


def test_a_rejected_commit_is_not_tried_again() -> None:
    """Whatever else has happened; in an environment with other libraries it is."""
    rejected = [
        (seen, state)
        for seen, state in worlds()
        if state.rejected == TIP and seen.pin.commit != TIP and not seen.paused
    ]
    assert len(rejected) > 100
    for seen, state in rejected:
        elsewhere = state.environment == "elsewhere"
        allowed = {Step.ADOPT, Step.CHECK} if elsewhere else {Step.REST}
        assert decide(TIP, seen, state, HERE) in allowed


def test_an_undo_by_hand_is_respected() -> None:
    """The tip was rolled out and is no longer pinned: it is rejected for good, and what was chosen
    is what counts.
    """
    state = RolloutState(revision=TIP, good=Revision(TIP))
    for progress in ("done", "under way", "stuck", "not observed"):
        seen = pods(progress, OLD)
        assert decide(TIP, seen, state, HERE) is Step.RESPECT
        after = state.respecting(TIP, seen.pin, "undone by hand")
        assert after.rejects(TIP, HERE)
        assert after.rejects(TIP, "another image")
        assert after.good == Revision(OLD)
        assert decide(TIP, seen, after, HERE) is Step.REST
        assert decide(OTHER, seen, after, HERE) is Step.CHECK  # the ref has moved


def test_a_lost_pin_is_no_undo() -> None:
    """`kubectl replace` takes the annotation away: the commit is pinned again."""
    assert (
        decide(TIP, pods("done"), RolloutState(revision=TIP, good=Revision(TIP)), HERE)
        is Step.CHECK
    )


def test_a_commit_that_was_ready_once_is_not_blamed() -> None:
    """A bad image, or a cluster without room, keeps pods of a good commit from getting ready: it
    stays pinned.
    """
    state = RolloutState(revision=TIP, good=Revision(TIP))
    assert decide(TIP, pods("stuck", TIP), state, HERE) is Step.REST


def test_a_roll_back_goes_to_what_was_ready_last() -> None:
    """Not to a commit that never was: of two bad ones in a row, the second goes back to the one
    before the first.
    """
    state = RolloutState(revision=OTHER, good=Revision(OLD))
    end, after, steps = live(pods("stuck", OTHER), state, "gets stuck")
    assert steps == [Step.CHECK, Step.NOTE, Step.WAIT, Step.REJECT_STUCK, Step.PIN_BACK]
    assert (end.pin.commit, after.rejected, after.good.commit) == (OLD, TIP, OLD)


def test_what_was_pinned_by_hand_is_gone_back_to() -> None:
    """A roll-back goes to a commit that was pinned by hand and became ready."""
    state = RolloutState(revision=OLD, good=Revision(OLD))
    end, _, _ = live(pods("done", OTHER), state, "gets stuck")
    assert end.pin.commit == OTHER


def test_models_known_to_be_broken_are_remembered() -> None:
    """The good pin keeps its exceptions, so that pods of a roll-back know them."""
    pin = Revision(OLD, frozenset({"Churn"}))
    state = RolloutState().settling(pin)
    assert state.good == pin
