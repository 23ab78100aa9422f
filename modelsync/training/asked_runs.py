"""Training runs that were asked for, by a client or by drift: whichever replica sees one first has
it done. Runs whose processes have died are marked so.
"""

from __future__ import annotations

import logging
import random
from contextlib import suppress
from dataclasses import dataclass

from modelsync.backoff import Backoff
from modelsync.errors import StoreUnavailable, UnknownRun
from modelsync.observability.logs import event
from modelsync.store.catalog import Catalog
from modelsync.store.records import RUN_LEASE, TrainingRun
from modelsync.training.train_command import BUSY, FINAL, TrainCommand, TrainCommands, said

log = logging.getLogger(__name__)

LEASE = 30.0
"""Seconds after which another replica starts a run whose replica has died before it began."""

RENEWAL = 10.0
"""Seconds between two renewals of a lease."""

LOSING = 10.0
"""Seconds between two looks for runs that are silent."""

SETTLING = 20.0
"""Seconds after an outage of the store in which no run counts as silent: none could be noted."""

AGAIN = Backoff(first=5.0, most=60.0)
"""Seconds before a run is started again that was killed before it began."""

MOST_STARTS = 3
"""How often that is tried."""


@dataclass(slots=True)
class _Started:
    run: TrainingRun
    child: TrainCommand
    next_renewal: float


class AskedRuns:
    """Starts `modelsync train` for runs that wait to be begun, `concurrency` at a time."""

    name = "training runs"

    def __init__(
        self, catalog: Catalog, commands: TrainCommands, owner: str, concurrency: int
    ) -> None:
        self._catalog = catalog
        self._commands = commands
        self._owner = owner
        self._concurrency = concurrency
        self._started: dict[int, _Started] = {}
        self._starts: dict[int, int] = {}
        self._not_before: dict[int, float] = {}
        self._next_loss = 0.0

    def step(self, now: float) -> None:
        """Start, settle and lose what there is. Raises StoreUnavailable."""
        try:
            self._settle(now)
            self._start(now)
            if now >= self._next_loss:
                self._next_loss = now + LOSING
                for run in self._catalog.lose_runs():
                    _say(run, logging.ERROR, "the training run is lost")
        except StoreUnavailable:
            self._next_loss = now + SETTLING
            raise

    def stop(self, grace: float) -> None:
        """The service ends: runs that are not done wait for another replica, or the next start."""
        for one in self._started.values():
            one.child.end(grace)
            with suppress(StoreUnavailable):  # kept, so that the run is started again; but free
                self._is_ours(one.run, 0)

    def _start(self, now: float) -> None:
        asked = self._catalog.asked_runs()
        for number in self._starts.keys() - {run.number for run in asked}:
            del self._starts[number]
            self._not_before.pop(number, None)
        for run in asked:
            if len(self._started) >= self._concurrency:
                return
            waits = self._not_before.get(run.number, 0.0) > now
            if waits or run.number in self._started or not self._is_ours(run, LEASE):
                continue
            arguments = ("--date", run.date.isoformat(), "--trigger", run.trigger)
            child = self._commands.start(run.model, *arguments)
            self._started[run.number] = _Started(run, child, now + RENEWAL)
            _say(run, logging.INFO, "the training run is started")

    def _settle(self, now: float) -> None:
        for number, one in list(self._started.items()):
            code = one.child.code()
            if code is not None:
                self._ended(one.run, code, now)
                del self._started[number]
            elif now >= one.next_renewal:
                one.next_renewal = now + RENEWAL
                self._is_ours(one.run, LEASE)

    def _ended(self, run: TrainingRun, code: int, now: float) -> None:
        """Its process has ended; if it has not begun the run, that is tried again, or fails."""
        starts = self._starts[run.number] = self._starts.get(run.number, 0) + (code != BUSY)
        if code in FINAL or starts >= MOST_STARTS:
            message = f"`modelsync train` has ended before it began, with {said(code)}: see its log"
            with suppress(UnknownRun):
                error = {"step": run.step, "kind": "", "message": message}
                if self._catalog.refuse_run(run.number, error):
                    _say(run, logging.ERROR, message)
            self._catalog.release(_lease(run), self._owner)
            return
        pause = AGAIN.pause(max(1, starts), random.random())  # noqa: S311  spreads replicas out
        self._not_before[run.number] = now + pause
        self._is_ours(run, pause + LEASE)

    def _is_ours(self, run: TrainingRun, seconds: float) -> bool:
        return self._catalog.lease(_lease(run), self._owner, seconds)


def _lease(run: TrainingRun) -> str:
    return f"{RUN_LEASE}{run.number}"


def _say(run: TrainingRun, level: int, said: str) -> None:
    facts = {"run": run.number, "model": run.model, "date": run.date.isoformat()}
    event(log, level, said, event="training_run", trigger=run.trigger, **facts)
