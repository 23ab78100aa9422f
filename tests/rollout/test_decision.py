"""From every state that a run can find, also one that a dead run left: where the steps lead."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Literal

import pytest

from modelsync.rollout.decision import Observed, RolloutState, Step, decide
from modelsync.settings import NO_REVISION, Revision

OLD, TIP, OTHER = "a" * 40, "b" * 40, "c" * 40
HERE = "environment"
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)

Fate = Literal["gets ready", "gets stuck", "is rejected by the check", "may pass later"]


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
    for progress, pin, revision, good, rejected, where, retry in product(
        PROGRESS, (*commits, TIP[:7]), commits, commits, commits, (HERE, "elsewhere", ""), RETRIES
    ):
        told = rejected == TIP and where == HERE  # when something is tried again
        if told or (not retry and (rejected or where == "")):
            pinned = Revision(good) if good else NO_REVISION
            yield pods(progress, pin), RolloutState(revision, pinned, rejected, where, retry=retry)


RETRIES = ("", NOW.isoformat(), (NOW + timedelta(hours=1)).isoformat())
"""When a rejected commit is tried again: never, now, later."""


def live(  # noqa: C901  a case for each step
    seen: Observed, state: RolloutState, fate: Fate
) -> tuple[Observed, RolloutState, list[Step]]:
    """What a run makes of a world, with the pods of the tip having this fate; no step may come for
    ever.
    """
    steps: list[Step] = []
    while (step := decide(TIP, seen, state, HERE, NOW)) is not Step.REST:
        steps.append(step)
        assert len(steps) < 12, steps
        match step:
            case Step.WAIT:
                seen = pods("stuck" if fate == "gets stuck" else "done", seen.pin.commit)
            case Step.CHECK if fate == "is rejected by the check":
                state = state.rejecting(TIP, HERE, "check", "broken")
            case Step.CHECK if fate == "may pass later":
                state = state.rejecting(TIP, HERE, "check", "away", passing_at=NOW)
            case Step.CHECK:
                seen = pods("not observed", TIP)
            case Step.NOTE:
                state = state.noting(TIP)
            case Step.SETTLE:
                state = state.settling(seen.pin)
            case Step.ADOPT:
                state = state.adopting(seen.pin)
            case Step.RESPECT:
                state = state.respecting(TIP, "undone")
            case Step.MEND:
                seen = pods("not observed", OTHER)
            case Step.REJECT_STUCK:
                state = state.rejecting(TIP, HERE, "deadline", "stuck")
            case Step.PIN_BACK | Step.ABANDON:
                seen = pods("not observed", state.good.commit)
    return seen, state, steps


@pytest.mark.parametrize(
    "fate", ["gets ready", "gets stuck", "is rejected by the check", "may pass later"]
)
def test_every_run_ends_well(fate: Fate) -> None:
    """From wherever a dead run, a person or another run left things: few steps, and then what ought
    to be is.
    """
    seen_worlds = 0
    for seen, state in worlds():
        seen_worlds += 1
        end, after, steps = live(seen, state, fate)
        about = (seen, state, steps, end, after)
        if seen.paused:
            assert steps == [], about
            continue
        if end.wanted and end.pin:  # nothing is good that no pod has been ready with
            ready = end.progress == "done"
            assert not ready or after.good.commit == end.pin.commit or end.pin.commit == TIP, about
        if after.good != state.good:
            assert {Step.SETTLE, Step.ADOPT} & set(steps), about
        assert end.pin.valid or not end.pin, about
        if after.rejects(TIP, HERE, NOW):
            kept = end.pin.commit != TIP or end.progress == "empty"
            assert kept or after.good.commit in {"", TIP}, about
        elif end.progress == "stuck" and not after.good:  # there is nothing to go back to
            assert end.pin.commit == TIP == after.rejected, about
        elif fate == "gets ready" or seen.pin.commit == TIP:
            assert end.pin.commit == TIP, about
            assert after.revision == TIP, about
            assert after.good.commit == TIP or end.progress == "empty", about
        else:  # stuck or rejected, unless it was ready once, so that it is not to blame
            assert after.rejected == TIP or (end.pin.commit == after.good.commit == TIP), about
        if fate == "is rejected by the check" and seen.pin.commit != TIP:
            by_hand = {Step.MEND, Step.WAIT, Step.ABANDON} & set(steps)
            assert end == seen or by_hand, about  # no pod has seen it
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
        step = decide(TIP, seen, state, HERE, NOW)
        again = state.environment == "elsewhere" or state.retry == NOW.isoformat()
        unwanted = {Step.REST, Step.WAIT, Step.ABANDON}
        assert step in {Step.MEND, Step.ADOPT} | ({Step.CHECK} if again else unwanted)


def test_a_commit_is_tried_again_later_each_time() -> None:
    """After a cause that may pass: two minutes, then twice as long, at most an hour; by hand at
    once. Another commit begins anew.
    """
    state, now, waited = RolloutState(revision=OLD, good=Revision(OLD)), NOW, []
    seen = pods("done", OLD)
    for number in range(8):
        assert decide(TIP, seen, state, HERE, now) is Step.CHECK
        if number % 2:  # it passes the check, and does not get ready
            state = state.noting(TIP)
        state = state.rejecting(TIP, HERE, "check", "away", passing_at=now)
        due = state.retry_time()
        assert due is not None
        assert decide(TIP, seen, state, HERE, due - timedelta(seconds=1)) is Step.REST
        assert decide(TIP, seen, state.retrying(), HERE, now) is Step.CHECK
        waited.append((due - now).total_seconds())
        now = due
    assert waited == [120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert state.rejecting(OTHER, HERE, "check", "away", passing_at=now).tries == 1
    assert state.settling(Revision(TIP)).tries == 0


def test_a_cause_that_lasts_is_not_tried_again() -> None:
    """Nor a state of an older version, which says nothing of it, nor one that somebody spoilt."""
    for state in (
        RolloutState().rejecting(TIP, HERE, "check", "broken"),
        RolloutState(rejected=TIP, environment=HERE),
        RolloutState(rejected=TIP, environment=HERE, retry="soon"),
    ):
        assert decide(TIP, pods("done", OLD), state.adopting(Revision(OLD)), HERE, NOW) is Step.REST


def test_an_undo_by_hand_is_respected() -> None:
    """The tip was rolled out and is no longer pinned: it is rejected for good. What was chosen
    counts once it is ready, and not before.
    """
    state = RolloutState(revision=TIP, good=Revision(TIP))
    for progress, then in (
        ("done", Step.ADOPT),
        ("under way", Step.WAIT),
        ("stuck", Step.ABANDON),
        ("not observed", Step.WAIT),
    ):
        seen = pods(progress, OLD)
        assert decide(TIP, seen, state, HERE, NOW) is Step.RESPECT
        after = state.respecting(TIP, "undone by hand")
        assert after.rejects(TIP, HERE, NOW)
        assert after.rejects(TIP, "another image", NOW)
        assert after.good == Revision(TIP)
        assert decide(TIP, seen, after, HERE, NOW) is then
        adopted = after.adopting(seen.pin)
        assert (decide(TIP, seen, adopted, HERE, NOW), adopted.good) == (Step.REST, Revision(OLD))
        assert decide(OTHER, pods("done", OLD), adopted, HERE, NOW) is Step.CHECK  # the ref moved
        assert decide(TIP, pods("done", OLD), adopted.retrying(), HERE, NOW) is Step.CHECK


@pytest.mark.parametrize("text", [TIP[:7], "main", TIP.upper(), f"{TIP} but Churn"])
def test_a_pin_that_is_no_full_hash_is_mended(text: str) -> None:
    """Before anything else, so that it is never taken for good."""
    for state in (RolloutState(), RolloutState(revision=TIP, good=Revision(TIP))):
        for progress in ("done", "under way", "stuck", "empty"):
            assert decide(TIP, pods(progress, text), state, HERE, NOW) is Step.MEND


def test_a_commit_that_is_pinned_stays_until_the_ref_moves() -> None:
    """By `--pin`: also the ref's commit that nobody has seen yet is left alone."""
    for revision in (TIP, OTHER):
        state = RolloutState(revision=revision, good=Revision(OTHER)).pinning(TIP, "by hand")
        seen = pods("not observed", OLD)
        assert decide(TIP, seen, state, HERE, NOW) is Step.WAIT
        end, after, steps = live(seen, state, "gets ready")
        assert (end.pin.commit, after.good.commit, steps) == (OLD, OLD, [Step.WAIT, Step.ADOPT])
        assert decide(OTHER, end, after, HERE, NOW) is Step.CHECK


def test_a_rolled_back_commit_that_comes_back_was_not_undone_by_hand() -> None:
    """The ref goes to another one, which is rejected, and back."""
    state = RolloutState(revision=TIP, good=Revision(OLD)).rejecting(TIP, HERE, "deadline", "stuck")
    state = state.rejecting(OTHER, HERE, "check", "broken")
    assert decide(TIP, pods("done", OLD), state, HERE, NOW) is Step.CHECK


def test_the_first_commit_stays_pinned() -> None:
    """It is rejected, but there is none to go back to, and its pods say why they are not ready."""
    end, after, steps = live(pods("done"), RolloutState(), "gets stuck")
    assert steps == [Step.CHECK, Step.NOTE, Step.WAIT, Step.REJECT_STUCK]
    assert (end.pin.commit, after.rejected) == (TIP, TIP)
    seen = pods("done", TIP)  # what kept them from it has passed
    assert live(seen, after, "gets ready")[2] == [Step.NOTE, Step.SETTLE]


def test_a_lost_pin_is_no_undo() -> None:
    """`kubectl replace` takes the annotation away: the commit is pinned again."""
    assert (
        decide(TIP, pods("done"), RolloutState(revision=TIP, good=Revision(TIP)), HERE, NOW)
        is Step.CHECK
    )


def test_a_commit_that_was_ready_once_is_not_blamed() -> None:
    """A bad image, or a cluster without room, keeps pods of a good commit from getting ready: it
    stays pinned.
    """
    state = RolloutState(revision=TIP, good=Revision(TIP))
    assert decide(TIP, pods("stuck", TIP), state, HERE, NOW) is Step.REST


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
