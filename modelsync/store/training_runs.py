"""Training runs: begun, noted step by step, ended; of each model one at a time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    RowMapping,
    Text,
    and_,
    cast,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)

from modelsync.errors import RunInProgress
from modelsync.store.database import Database
from modelsync.store.records import (
    RUN_LEASE,
    RUN_STEPS,
    RunOutcome,
    RunState,
    RunStep,
    TrainingRun,
    Trigger,
)
from modelsync.store.rows import run_of
from modelsync.store.run_history import last_good, run_row
from modelsync.store.tables import leases
from modelsync.store.tables import training_runs as rows

SILENCE = 60.0
"""Seconds without a note after which nobody works on a run any more."""

KEPT = 100
"""How many runs of a model are kept, the newest; and the last good one."""

NOTED = frozenset(
    {"step", "filled", "source", "fingerprint", "columns", "report", "job", "version", "comparison"}
)
"""What the process of a run may note of it."""

TRIES = 5
"""How often a run that was asked for is begun, if whoever has started it dies each time."""

LOST = "Lost"
"""The kind of error of a run whose process was silent."""

KILLED = "its process ended without a word: it was killed, or its machine is gone"

_OPEN = ("waiting", "running")


class TrainingRuns:
    """The training of each model, day by day. `date` is the day whose data it trains with."""

    database: Database

    # --- how a run goes on ------------------------------------------------------------------------

    def begin_run(
        self, model: str, date: date, trigger: Trigger, owner: str, code: str
    ) -> TrainingRun:
        """Have `owner` work on the run of this model and day.

        The run of that day that waits, has failed or is silent goes on at its step, if it was begun
        with the same code; else a new one begins. Who works on it already gets it again: the first
        answer may have been lost on the way.

        Raises RunInProgress if another process works on a run of the model, or has paused that of
        another day, less than `SILENCE` seconds ago.
        """
        with self.database.writing() as (connection, now):
            found = _open(connection, model)
            if found and _begun(found) == (date, owner):
                return _change(connection, found["number"], heartbeat=now)
            if found:
                _make_way(connection, found, date, code, now)
            found = _newest(connection, model, date)
            if not found or found["state"] == "done" or found["code"] not in ("", code):
                found = _add(connection, model, date, trigger, now)
            return _change(
                connection,
                found["number"],
                state="running",
                owner=owner,
                code=code,
                started=found["started"] or now,
                heartbeat=now,
                ended=None,
                error=None,
                attempts=found["attempts"] + 1,
            )

    def note_run(self, number: int, owner: str, **values: Any) -> TrainingRun:
        """Tell that a run is alive, and what is known of it now: any of `NOTED`.

        Raises RunInProgress if it is not this owner's any more, UnknownRun.
        """
        if unknown := values.keys() - NOTED:
            raise TypeError(f"a run has no {', '.join(sorted(unknown))} to note")
        with self.database.writing() as (connection, now):
            _require_owner(connection, run_row(connection, number), owner)
            alive = {"state": "running", "heartbeat": now, "ended": None, "error": None}
            return _change(connection, number, **alive, **values)

    def pause_run(self, number: int, owner: str, step: RunStep) -> TrainingRun:
        """Let a run wait for whoever does its next step. Told twice, it is done once.

        Raises RunInProgress if it is not this owner's any more, UnknownRun.
        """
        with self.database.writing() as (connection, now):
            row = run_row(connection, number)
            if (row["owner"], row["state"], row["step"]) == (owner, "waiting", step):
                return run_of(row)
            _require_owner(connection, row, owner)
            waits = {"state": "waiting", "heartbeat": now, "ended": None, "error": None}
            return _change(connection, number, step=step, **waits)

    def end_run(
        self,
        number: int,
        owner: str,
        state: RunState,
        *,
        outcome: RunOutcome = "",
        error: Mapping[str, Any] | None = None,
    ) -> TrainingRun:
        """End a run as `done`, with its outcome, or as `failed`, with the error of its step.

        Told twice by the same owner, it is done once. Raises RunInProgress if it is not this
        owner's any more, UnknownRun.
        """
        with self.database.writing() as (connection, now):
            row = run_row(connection, number)
            if (row["owner"], row["state"], row["outcome"]) == (owner, state, outcome):
                return run_of(row)
            _require_owner(connection, row, owner)
            values = {"state": state, "outcome": outcome, "error": error, "ended": now}
            return _change(connection, number, heartbeat=now, **values)

    def lose_runs(self) -> list[TrainingRun]:
        """End the runs as failed whose processes are silent; return them as they are now.

        A process that comes back goes on, unless another run of its model was begun meanwhile.
        """
        with self.database.writing() as (connection, now):
            query = select(rows).where(
                rows.c.state == "running", rows.c.heartbeat <= now - timedelta(seconds=SILENCE)
            )
            silent = connection.execute(query).mappings().all()
            return [_leave(connection, row, now) for row in silent]

    # --- asked for --------------------------------------------------------------------------------

    def ask_run(self, model: str, date: date, trigger: Trigger) -> tuple[TrainingRun, bool]:
        """Return the open run of this model and day, and whether it was made now, to be started by
        whoever looks at `asked_runs`.

        Raises RunInProgress if that of another day is open.
        """
        with self.database.writing() as (connection, now):
            if found := _open(connection, model):
                if not _silent(found, now) and found["date"] == date:
                    return run_of(found), False
                _require_silence(found, now)
                _leave(connection, found, now)
            return run_of(_add(connection, model, date, trigger, now)), True

    def asked_runs(self) -> list[TrainingRun]:
        """Return the runs that were asked for and are to be started, the oldest first: not begun
        yet, or interrupted while somebody had their lease, at most `TRIES` times.
        """
        lease = literal(RUN_LEASE) + cast(rows.c.number, Text)
        theirs = select(leases.c.name).where(leases.c.name == lease).exists()
        interrupted = and_(rows.c.state.in_(("waiting", "failed")), rows.c.attempts < TRIES, theirs)
        fresh = and_(rows.c.state == "waiting", rows.c.attempts == 0)
        query = select(rows).where(or_(fresh, interrupted)).order_by(rows.c.number)
        with self.database.reading() as connection:
            return [run_of(row) for row in connection.execute(query).mappings()]

    def refuse_run(self, number: int, error: Mapping[str, Any]) -> bool:
        """End a run as failed that was asked for and cannot be begun; False if it was begun."""
        with self.database.writing() as (connection, now):
            row = run_row(connection, number)
            if row["state"] != "waiting" or row["attempts"]:
                return False
            _change(connection, number, state="failed", error=error, ended=now)
            return True


# --- rows -----------------------------------------------------------------------------------------


def _open(connection: Connection, model: str) -> RowMapping | None:
    query = select(rows).where(rows.c.model == model, rows.c.state.in_(_OPEN))
    return connection.execute(query).mappings().first()


def _newest(connection: Connection, model: str, date: date) -> RowMapping | None:
    query = select(rows).where(rows.c.model == model, rows.c.date == date)
    return connection.execute(query.order_by(rows.c.number.desc()).limit(1)).mappings().first()


def _change(connection: Connection, number: int, **values: Any) -> TrainingRun:
    connection.execute(update(rows).where(rows.c.number == number).values(**values))
    return run_of(run_row(connection, number))


def _add(
    connection: Connection, model: str, date: date, trigger: Trigger, now: datetime
) -> RowMapping:
    """Add a run that waits for its first step, and forget the oldest ones of its model."""
    values = {"model": model, "date": date, "trigger": trigger, "created": now}
    empty = dict.fromkeys(("owner", "outcome", "source", "fingerprint", "code", "job"), "")
    new = {"state": "waiting", "step": RUN_STEPS[0], "attempts": 0}
    added = connection.execute(insert(rows).values(**values, **empty, **new))
    mine = rows.c.model == model
    kept = select(rows.c.number).where(mine).order_by(rows.c.number.desc()).limit(KEPT)
    last = last_good(model).scalar_subquery()
    connection.execute(
        delete(rows).where(
            mine, rows.c.number.not_in(kept), rows.c.number != func.coalesce(last, 0)
        )
    )
    assert added.inserted_primary_key
    return run_row(connection, added.inserted_primary_key[0])


# --- who works on them ----------------------------------------------------------------------------


def _silent(row: RowMapping, now: datetime) -> bool:
    heard: datetime = row["heartbeat"] or row["created"]
    return heard <= now - timedelta(seconds=SILENCE)


def _require_silence(row: RowMapping, now: datetime) -> None:
    if not _silent(row, now):
        what = "works on" if row["state"] == "running" else "goes on soon with"
        raise RunInProgress(
            f"another process {what} run {row['number']} of {row['model']}, that of "
            f"{row['date']}, at step {row['step']!r}"
        )


def _require_owner(connection: Connection, row: RowMapping, owner: str) -> None:
    """Hold to it that a run is an owner's, or was until it was silent and nobody has taken over."""
    mine = row["owner"] == owner
    lost = row["state"] == "failed" and row["error"] and row["error"]["kind"] == LOST
    if mine and (row["state"] == "running" or (lost and not _open(connection, row["model"]))):
        return
    raise RunInProgress(
        f"run {row['number']} of {row['model']} is not this process's any more: it was silent "
        f"for {SILENCE:g} s, and is {row['state']}"
    )


def _begun(row: RowMapping) -> tuple[date, str] | None:
    """The day that is worked on, and by whom."""
    return (row["date"], row["owner"]) if row["state"] == "running" else None


def _make_way(
    connection: Connection, row: RowMapping, date: date, code: str, now: datetime
) -> None:
    """End an open run, unless it can go on as that of this day. Raises RunInProgress."""
    if row["date"] != date or row["state"] == "running":
        _require_silence(row, now)
    if row["date"] != date:
        _leave(connection, row, now)
    elif row["code"] not in ("", code):
        _leave(connection, row, now, "the code of the model has changed")


def _leave(connection: Connection, row: RowMapping, now: datetime, why: str = "") -> TrainingRun:
    """End a run that nobody works on any more; it can go on at its step later."""
    running = row["state"] == "running"
    if not why:
        why = KILLED if running else "nobody has begun this step"
    error = {"step": row["step"], "kind": LOST if running else "", "message": why}
    return _change(connection, row["number"], state="failed", error=error, ended=now)
