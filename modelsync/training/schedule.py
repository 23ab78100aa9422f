"""The schedule of trainings: `modelsync train` at the times of `MODELSYNC_TRAIN_CRON`, and every
`MODELSYNC_TRAIN_POLL`.

Of all replicas one starts it: the one that gets the lease in the store. Another takes over when
that one has died. The store also keeps up to when training has been done, so a time that was missed
while the service or the store was away is caught up, and no time comes twice, whatever clocks do.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from modelsync.backoff import Backoff
from modelsync.errors import StoreUnavailable
from modelsync.observability.logs import event
from modelsync.settings import Settings
from modelsync.store.catalog import Catalog
from modelsync.store.records import SCHEDULE_LEASE, Trigger
from modelsync.sync.schedule import Schedule, training_schedule
from modelsync.training.train_command import BUSY, FINAL, TrainCommand, TrainCommands, said

log = logging.getLogger(__name__)

LOOK = 0.5
"""Seconds between two looks at the clock and at the process that trains."""

LEASE = 30.0
"""Seconds after which another replica takes over from one that has died."""

TURN = 10.0
"""Seconds between two tries to take over, and between two renewals of a lease."""

CHECK = 60.0
"""Seconds after which the store is asked again up to when training has been done."""

AHEAD = timedelta(days=1)
"""The most that a clock can have been ahead of this one; what was done later does not count."""

AGAIN = Backoff(first=15.0, most=300.0)
"""Seconds before a training is started again, because it was killed or another process trains."""

MOST_STARTS = 3
"""How often a training is started that is killed each time."""


def schedules(
    config: Settings, catalog: Catalog, commands: TrainCommands, owner: str
) -> Iterator[TrainingSchedule]:
    """Yield the schedules that are set, each with a loop of its own. Raises SettingsError."""
    cron = training_schedule(config)
    if cron.cron or cron.every:
        yield TrainingSchedule("schedule", cron, catalog, commands, owner)
    if config.continuous.poll:
        poll = Schedule(every=timedelta(seconds=config.continuous.poll))
        yield TrainingSchedule("change", poll, catalog, commands, owner)


def _now() -> datetime:
    return datetime.now(UTC)


class TrainingSchedule:
    """Starts `modelsync train --trigger ...` when it is due. `step` raises StoreUnavailable."""

    def __init__(
        self,
        trigger: Trigger,
        schedule: Schedule,
        catalog: Catalog,
        commands: TrainCommands,
        owner: str,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self.name = f"the {trigger}" if trigger == "schedule" else f"the look for a {trigger}"
        self._trigger = trigger
        self._schedule = schedule
        self._catalog = catalog
        self._commands = commands
        self._owner = owner
        self._clock = clock
        self._lease = SCHEDULE_LEASE if trigger == "schedule" else f"train:{trigger}"
        self._level = logging.INFO if trigger == "schedule" else logging.DEBUG
        self._child: TrainCommand | None = None
        self._due: datetime | None = None
        self._begun = datetime.min.replace(tzinfo=UTC)
        self._starts, self._busy = 0, False
        self._next_check = self._not_before = self._next_renewal = 0.0

    def step(self, now: float) -> None:
        """Look at the clock, or at the process that trains."""
        if self._child:
            self._watch(self._child, now)
        elif now >= self._not_before and self._is_due(now) and self._is_our_turn(now):
            self._start(now)

    def stop(self, grace: float) -> None:
        """The service ends: leave the training to another replica, or to the next start."""
        if self._child:
            self._child.end(grace)
        if self._child or self._starts:
            with suppress(StoreUnavailable):
                self._catalog.release(self._lease, self._owner)

    # --- when -------------------------------------------------------------------------------------

    def _is_due(self, now: float) -> bool:
        wall = self._clock()
        if not self._due or wall >= self._due or now >= self._next_check:
            self._due = self._schedule.next_after(self._done(wall))
            self._next_check = now + CHECK
        return self._due is not None and wall >= self._due

    def _done(self, wall: datetime) -> datetime:
        """Return up to when training has been done: now, if there is nothing to catch up."""
        done = self._catalog.done_until(self._lease)
        if done and done <= wall + AHEAD:
            return done
        self._catalog.mark_done(self._lease, wall)
        return wall

    def _is_our_turn(self, now: float) -> bool:
        """Take the lease. Another replica may have had it, and be done, a moment ago."""
        if not self._catalog.lease(self._lease, self._owner, LEASE):
            self._not_before = now + TURN
            return False
        if self._is_still_due():
            return True
        self._catalog.release(self._lease, self._owner)
        return False

    def _is_still_due(self) -> bool:
        wall = self._clock()
        due = self._schedule.next_after(self._done(wall))
        return due is not None and wall >= due

    # --- training ---------------------------------------------------------------------------------

    def _start(self, now: float) -> None:
        self._begun = self._clock()
        # The others have had their turn: now it can wait for those that another process trains.
        waits = ("--wait",) if self._busy else ()
        self._child = self._commands.start("--trigger", self._trigger, *waits)
        self._starts += 1
        self._next_renewal = now + TURN
        self._say("training begins", due=self._due)

    def _watch(self, child: TrainCommand, now: float) -> None:
        code = child.code()
        if code is not None:
            self._settle(code, now)
        elif now >= self._next_renewal:
            self._next_renewal = now + TURN
            self._catalog.lease(self._lease, self._owner, LEASE)

    def _settle(self, code: int, now: float) -> None:
        """Remember that it is done, or try it again later; until then it is this replica's."""
        if code == BUSY or (code not in FINAL and self._starts < MOST_STARTS):
            pause = AGAIN.pause(self._starts, random.random())  # noqa: S311  spreads replicas out
            self._catalog.lease(self._lease, self._owner, pause + LEASE)
            self._child, self._not_before, self._busy = None, now + pause, code == BUSY
            why = "another process trains" if code == BUSY else f"it has ended with {said(code)}"
            self._say(f"training goes on in {pause:.0f} s: {why}")
            return
        self._catalog.mark_done(self._lease, self._begun)
        self._catalog.release(self._lease, self._owner)
        self._child, self._starts, self._busy = None, 0, False
        self._due = self._schedule.next_after(self._begun)
        self._say("training has ended", code=code, next=self._due and max(self._due, self._clock()))

    def _say(self, said: str, code: int = 0, **facts: datetime | None) -> None:
        told = {name: time.isoformat() for name, time in facts.items() if time}
        level = logging.WARNING if code else self._level
        how = {"exit_code": code} if code else {}
        event(log, level, said, event="training_schedule", trigger=self._trigger, **how, **told)
