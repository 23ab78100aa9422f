"""Training runs in the catalog, the same in SQLite and PostgreSQL."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import update

from modelsync.errors import RunInProgress, UnknownRun
from modelsync.store.catalog import Catalog
from modelsync.store.records import RUN_STEPS, TrainingRun
from modelsync.store.tables import training_runs
from modelsync.store.training_runs import KEPT, SILENCE
from tests.fixtures.fits import in_processes

DAY = date(2026, 11, 26)
BEFORE = DAY - timedelta(days=1)


def begin(
    catalog: Catalog, day: date = DAY, owner: str = "one", code: str = "c0de", **how: Any
) -> TrainingRun:
    """A run that this owner works on."""
    return catalog.begin_run(how.get("model", "Churn"), day, "command", owner, code)


def done(catalog: Catalog, day: date = DAY, fingerprint: str = "f00d", **how: Any) -> TrainingRun:
    """A run that has trained a version."""
    run = begin(catalog, day, **how)
    catalog.note_run(run.number, run.owner, fingerprint=fingerprint)
    return catalog.end_run(run.number, run.owner, "done", outcome="promoted")


def failed(catalog: Catalog, day: date = DAY, **how: Any) -> TrainingRun:
    """A run whose check has failed."""
    run = begin(catalog, day, **how)
    catalog.note_run(run.number, run.owner, step="check")
    error = {"step": "check", "kind": "DataInvalid", "message": "no rows"}
    return catalog.end_run(run.number, run.owner, "failed", error=error)


def silence(catalog: Catalog, run: TrainingRun, seconds: float = SILENCE) -> None:
    """Move what was last heard of a run into the past."""
    with catalog.database.writing() as (connection, now):
        past = now - timedelta(seconds=seconds)
        connection.execute(
            update(training_runs)
            .where(training_runs.c.number == run.number)
            .values(heartbeat=past, created=past)
        )


# --- step by step ---------------------------------------------------------------------------------


def test_a_run_is_kept_as_it_was_noted(catalog: Catalog) -> None:
    """From its begin to its end, with all that was found on the way."""
    run = begin(catalog)
    assert (run.state, run.step, run.attempts, run.owner) == ("running", "fill", 1, "one")
    assert (run.model, run.date, run.trigger, run.code) == ("Churn", DAY, "command", "c0de")
    noted: dict[str, Any] = {
        "step": "compare", "filled": 3, "source": "churn", "fingerprint": "f00d",
        "columns": {"age": "int"}, "report": {"rows": 3}, "job": "a1", "version": 7,
        "comparison": {"metric": "accuracy", "new": 0.8, "old": 0.75, "verdict": ""},
    }  # fmt: skip
    now = catalog.note_run(run.number, "one", **noted)
    assert {name: getattr(now, name) for name in noted} == noted
    ended = catalog.end_run(run.number, "one", "done", outcome="kept")
    assert (ended.state, ended.outcome, ended.version) == ("done", "kept", 7)
    assert ended.ended
    assert ended.ended.utcoffset() == timedelta(0)
    assert catalog.run("Churn", run.number) == ended


def test_steps_of_several_processes_make_one_run(catalog: Catalog) -> None:
    """Each pauses it for the next, which may be of another machine."""
    numbers = set()
    for step, owner in zip(RUN_STEPS[1:], "abcd", strict=True):
        run = begin(catalog, owner=owner)
        numbers.add(run.number)
        waits = catalog.pause_run(run.number, owner, step)
        assert (waits.state, waits.step) == ("waiting", step)
    assert len(numbers) == 1


@pytest.mark.parametrize("answer", ["lost", "heard"])
def test_what_is_told_twice_is_done_once(catalog: Catalog, answer: str) -> None:
    """The answer of a call may be lost on the way."""

    def tell(call: Callable[[], TrainingRun]) -> TrainingRun:
        told = call()
        return call() if answer == "lost" else told

    run = tell(lambda: begin(catalog))
    assert (run.number, run.attempts) == (1, 1)
    tell(lambda: catalog.pause_run(run.number, "one", "check"))
    assert begin(catalog).attempts == 2
    run = tell(lambda: catalog.end_run(run.number, "one", "done", outcome="kept"))
    assert run.state == "done"
    assert len(catalog.runs()) == 1


def test_a_failed_run_goes_on_at_its_step(catalog: Catalog) -> None:
    """With what it knew before, without the error; a day that is done begins anew."""
    before = failed(catalog)
    again = begin(catalog, owner="two")
    assert (again.number, again.step, again.attempts) == (before.number, "check", 2)
    assert (again.error, again.ended, again.started) == (None, None, before.started)
    catalog.end_run(again.number, "two", "done", outcome="kept")
    anew = begin(catalog)
    assert (anew.number, anew.step, anew.attempts) == (2, "fill", 1)


@pytest.mark.parametrize("how", ["failed", "waiting", "silent"])
def test_new_code_begins_anew(catalog: Catalog, how: str) -> None:
    """What was checked and trained with the code before says nothing about this one."""
    run = begin(catalog)
    if how == "failed":
        catalog.end_run(run.number, "one", "failed", error={"step": "fill"})
    elif how == "waiting":
        catalog.pause_run(run.number, "one", "train")
    else:
        silence(catalog, run)
    anew = begin(catalog, owner="two", code="new")
    assert (anew.number, anew.step) == (2, "fill")
    assert catalog.run("Churn", run.number).state == "failed"


# --- who works on it ------------------------------------------------------------------------------


def test_one_process_works_on_a_model(catalog: Catalog) -> None:
    """Another one is refused, whatever day it wants; other models go on."""
    begin(catalog)
    for day in (DAY, BEFORE):
        with pytest.raises(RunInProgress, match="works on run 1 of Churn, that of 2026-11-26"):
            begin(catalog, day, owner="two")
    with pytest.raises(RunInProgress):
        begin(catalog, BEFORE)
    assert begin(catalog, owner="two", model="Iris").number == 2


def test_of_processes_that_begin_at_once_one_does(catalog: Catalog) -> None:
    """And one run is made."""

    def work(index: int) -> str:
        try:
            return begin(catalog, owner=f"process{index}").owner
        except RunInProgress:
            return ""

    owners = in_processes(4, work)
    assert owners.count("") == 3
    (run,) = catalog.runs()
    assert (run.owner, run.attempts) == (max(owners), 1)


def test_a_silent_process_is_replaced(catalog: Catalog) -> None:
    """At its step; what it says afterwards is refused, so that it ends."""
    run = begin(catalog)
    catalog.note_run(run.number, "one", step="train", job="a1")
    silence(catalog, run, SILENCE - 5)
    with pytest.raises(RunInProgress):
        begin(catalog, owner="two")
    silence(catalog, run)
    taken = begin(catalog, owner="two")
    assert (taken.number, taken.step, taken.job, taken.attempts) == (run.number, "train", "a1", 2)
    calls: tuple[Callable[[], TrainingRun], ...] = (
        lambda: catalog.note_run(run.number, "one"),
        lambda: catalog.pause_run(run.number, "one", "compare"),
        lambda: catalog.end_run(run.number, "one", "done", outcome="kept"),
    )
    for call in calls:
        with pytest.raises(RunInProgress, match="not this process's any more"):
            call()
    assert catalog.note_run(run.number, "two", step="compare").step == "compare"


def test_a_silent_run_is_lost(catalog: Catalog) -> None:
    """It says so; its process may come back and go on, unless another run was begun."""
    run, other = begin(catalog), begin(catalog, model="Iris")
    catalog.note_run(run.number, "one", step="train")
    silence(catalog, run)
    (lost,) = catalog.lose_runs()
    assert lost.error
    assert (lost.number, lost.state, lost.error["step"]) == (run.number, "failed", "train")
    assert catalog.run("Iris", other.number).state == "running"
    back = catalog.note_run(run.number, "one")
    assert (back.state, back.error, back.ended) == ("running", None, None)
    silence(catalog, run)
    catalog.lose_runs()
    begin(catalog, BEFORE, owner="two")
    with pytest.raises(RunInProgress, match="not this process's any more"):
        catalog.note_run(run.number, "one")


@pytest.mark.parametrize("state", ["running", "waiting"])
def test_a_silent_run_of_another_day_fails(catalog: Catalog, state: str) -> None:
    """It says why, holds up nobody, and goes on at its step when its day is begun again."""
    run = begin(catalog, BEFORE)
    catalog.note_run(run.number, "one", step="check")
    if state == "waiting":
        catalog.pause_run(run.number, "one", "check")
    with pytest.raises(RunInProgress):
        begin(catalog, owner="two")
    silence(catalog, run)
    done(catalog, owner="two")
    left = catalog.run("Churn", run.number)
    assert left.error
    assert (left.state, left.error["step"]) == ("failed", "check")
    assert catalog.failed_days("Churn", BEFORE) == [BEFORE]
    assert begin(catalog, BEFORE, owner="two").number == run.number


def test_a_kill_at_any_moment_loses_no_step(catalog: Catalog) -> None:
    """Between any two calls: the next process goes on where the killed one was."""

    def work(calls: int) -> None:
        """Run the steps of the day until so many calls were made."""
        run = begin(catalog, owner=f"process{calls}")
        for step in RUN_STEPS[RUN_STEPS.index(run.step) :]:
            for noted in ({"step": step}, {"job": step}):
                if not (calls := calls - 1):
                    os.kill(os.getpid(), signal.SIGKILL)
                catalog.note_run(run.number, run.owner, **noted)
        catalog.end_run(run.number, run.owner, "done", outcome="promoted")
        os._exit(0)

    reached = 0
    for calls in range(1, 12):
        child = os.fork()
        if not child:
            try:
                work(calls)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        (run,) = catalog.runs()
        assert RUN_STEPS.index(run.step) >= reached
        reached = RUN_STEPS.index(run.step)
        if not status:
            break
        assert run.state == "running"
        silence(catalog, run)
    assert (run.state, run.outcome, run.job) == ("done", "promoted", "promote")


# --- asked for ------------------------------------------------------------------------------------


def test_a_run_that_was_asked_for_waits_to_be_begun(catalog: Catalog) -> None:
    """Asked for twice it is one; who begins it gets it, and it is not to be begun any more."""
    run, made = catalog.ask_run("Churn", DAY, "command")
    assert (made, run.state, run.attempts) == (True, "waiting", 0)
    assert catalog.ask_run("Churn", DAY, "command") == (run, False)
    with pytest.raises(RunInProgress, match="run 1"):
        catalog.ask_run("Churn", BEFORE, "command")
    assert catalog.asked_runs() == [run]
    assert begin(catalog).number == run.number
    assert catalog.asked_runs() == []
    assert not catalog.refuse_run(run.number, {"step": "fill"})
    assert catalog.ask_run("Churn", DAY, "command")[0].state == "running"


def test_a_paused_run_is_not_asked_for(catalog: Catalog) -> None:
    """Who has paused it goes on with it."""
    catalog.pause_run(begin(catalog).number, "one", "check")
    assert catalog.asked_runs() == []


def test_a_run_that_cannot_be_begun_fails(catalog: Catalog) -> None:
    """And can be asked for again."""
    run, _ = catalog.ask_run("Churn", DAY, "command")
    assert catalog.refuse_run(run.number, {"step": "fill", "kind": "", "message": "exit code 2"})
    assert catalog.run("Churn", run.number).state == "failed"
    again, made = catalog.ask_run("Churn", DAY, "command")
    assert (made, again.number) == (True, 2)


def test_a_silent_run_does_not_hold_up_one_that_is_asked_for(catalog: Catalog) -> None:
    """Its process has died."""
    run = begin(catalog)
    silence(catalog, run)
    assert catalog.ask_run("Churn", DAY, "command")[1]
    assert catalog.run("Churn", run.number).state == "failed"


# --- what there was -------------------------------------------------------------------------------


def test_runs_are_listed_newest_first(catalog: Catalog) -> None:
    """Of a model or all, of a day or all; a number belongs to its model."""
    for day, model in ((BEFORE, "Churn"), (DAY, "Iris"), (DAY, "Churn")):
        done(catalog, day, model=model)
    assert [run.number for run in catalog.runs()] == [3, 2, 1]
    assert [run.number for run in catalog.runs("Churn", limit=1)] == [3]
    assert [run.number for run in catalog.runs("Churn", DAY)] == [3]
    assert [run.number for run in catalog.runs(date=DAY)] == [3, 2]
    newest = catalog.newest_runs()
    assert {name: run.number for name, run in newest.items()} == {"Churn": 3, "Iris": 2}
    for model, number in (("Iris", 1), ("Churn", 4)):
        with pytest.raises(UnknownRun, match=str(number)):
            catalog.run(model, number)


def test_what_was_trained_is_found(catalog: Catalog) -> None:
    """By data and code; the last good run is the last that is done and knows its data."""
    assert catalog.last_good("Churn") is None
    first, second = done(catalog, BEFORE, "f1"), done(catalog, DAY, "f2")
    failed(catalog, DAY)
    assert catalog.last_good("Churn") == second
    assert catalog.trained("Churn", "f1", "c0de") == first
    assert catalog.trained("Churn", "f1", "other") is None
    assert catalog.trained("Iris", "f1", "c0de") is None


def test_a_day_has_failed_if_its_newest_run_has(catalog: Catalog) -> None:
    """Days are caught up in their order."""
    days = [DAY - timedelta(days=back) for back in range(4)]
    for day in days:
        failed(catalog, day)
    done(catalog, days[1])
    assert catalog.failed_days("Churn", days[2]) == [days[2], days[0]]
    failed(catalog, days[1], code="new")
    assert catalog.failed_days("Churn", days[2]) == [days[2], days[1], days[0]]


def test_the_newest_runs_are_kept(catalog: Catalog) -> None:
    """Of each model, and the last good one, however old: columns are compared with its."""
    other = done(catalog, model="Iris")
    good = done(catalog)
    for _ in range(KEPT + 2):
        run, _ = catalog.ask_run("Churn", DAY, "command")
        catalog.refuse_run(run.number, {"step": "fill"})
    kept = catalog.runs("Churn", limit=1000)
    assert (len(kept), kept[0].number) == (KEPT + 1, run.number)
    assert catalog.last_good("Churn") == good
    assert catalog.runs("Iris") == [other]
