"""When the schedule starts a training, and which replica does; time is an argument."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from modelsync.errors import StoreUnavailable
from modelsync.settings.training import Continuous
from modelsync.store import Store
from modelsync.store.location import database_file
from modelsync.store.tables import leases
from modelsync.sync.schedule import Schedule
from modelsync.training.loop import Loop
from modelsync.training.schedule import (
    AGAIN,
    CHECK,
    LEASE,
    LOOK,
    MOST_STARTS,
    TURN,
    TrainingSchedule,
    schedules,
)
from tests.training.storing import open_store, settings_of
from tests.training.train_processes import Clock, Trainings

HOUR = 3600.0
DAILY = Schedule.parse("0 2 * * *", UTC)


class Replica:
    """A trainer of a store: its schedule, and what that has started."""

    def __init__(
        self, opened: Store, clock: Clock, owner: str = "one", schedule: Schedule = DAILY
    ) -> None:
        self.clock, self.trainings = clock, Trainings()
        self.schedule = TrainingSchedule(
            "schedule", schedule, opened.catalog, self.trainings, owner, clock
        )
        self.step()

    def step(self, seconds: float = 0.0) -> None:
        self.clock.run(seconds)
        self.schedule.step(self.clock.monotonic)

    def at(self, hour: float) -> int:
        """Go on to that hour of the clock; how many trainings there were until then."""
        today = self.clock.wall.replace(hour=0, minute=0, second=0)
        while self.clock.wall < today + timedelta(hours=hour):
            self.step(300)
        self.step()
        return len(self.trainings.started)

    def end(self, code: int = 0) -> None:
        self.trainings.started[-1].ended = code
        self.step()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "home")
    yield store
    store.catalog.database.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def expire(opened: Store) -> None:
    """All leases run out, as they do when those who have them are gone."""
    with opened.catalog.database.writing() as (connection, now):
        connection.execute(update(leases).values(until=now - timedelta(seconds=1)))


# --- its time -------------------------------------------------------------------------------------


def test_a_training_starts_at_its_time(opened: Store, clock: Clock) -> None:
    """Not before, once, and again the next day."""
    replica = Replica(opened, clock)
    replica.at(1.9)
    assert not replica.trainings.started
    clock.wall = clock.wall.replace(hour=1, minute=59, second=59)
    replica.step(1)
    (training,) = replica.trainings.started
    assert training.arguments == ("--trigger", "schedule")
    replica.end()
    assert replica.at(24) == 1
    assert replica.at(2.1) == 2


def test_a_new_schedule_has_missed_nothing(opened: Store, clock: Clock) -> None:
    """The first start of a service trains at the next time, not at once."""
    clock.jump(5)
    assert Replica(opened, clock).at(23) == 0


def test_a_time_that_was_missed_is_caught_up_at_the_start(opened: Store, clock: Clock) -> None:
    """Once, however many there were."""
    Replica(opened, clock)
    clock.jump(3 * 24)
    replica = Replica(opened, clock, "the next")
    assert len(replica.trainings.running) == 1
    replica.end()
    assert replica.at(1.9) == 1


def test_a_long_training_is_not_started_twice(opened: Store, clock: Clock) -> None:
    """What becomes due meanwhile is caught up once, afterwards."""
    replica = Replica(opened, clock, schedule=Schedule.parse("@every 10m"))
    assert replica.at(3) == 1
    replica.end()
    replica.step()
    assert len(replica.trainings.started) == 2


def test_every_interval_counts_from_the_last_start(opened: Store, clock: Clock) -> None:
    """Also when the service starts anew meanwhile."""
    every = Schedule.parse("@every 1h")
    replica = Replica(opened, clock, schedule=every)
    replica.step(HOUR)
    replica.end()
    clock.run(HOUR / 2)
    again = Replica(opened, clock, "again", every)
    assert not again.trainings.started
    again.step(HOUR / 2 - 1)
    assert not again.trainings.started
    again.step(1)
    assert len(again.trainings.started) == 1


@pytest.mark.parametrize("hours", [-0.5, -1, 0.5, 1, -20])
def test_a_clock_that_jumps_trains_nothing_twice(opened: Store, clock: Clock, hours: float) -> None:
    """Back over the time of the day, or forward to it and back."""
    replica = Replica(opened, clock)
    replica.at(2.2)
    replica.end()
    clock.jump(hours)
    replica.step()
    clock.jump(-hours)
    assert replica.at(23) == 1
    clock.jump(hours)
    replica.at(23.5)
    clock.jump(-hours)
    replica.step()
    assert len(replica.trainings.started) <= 2


def test_a_clock_that_was_years_ahead_stops_nothing(opened: Store, clock: Clock) -> None:
    """A machine that boots without a clock of its own gets the time a moment later."""
    clock.jump(24 * 365)
    replica = Replica(opened, clock)
    replica.at(2.1)
    replica.end()
    clock.jump(-24 * 365)
    replica.step(CHECK)
    assert replica.at(24) <= 2
    assert replica.at(2.1) >= 2


# --- of several replicas --------------------------------------------------------------------------


def test_of_two_replicas_one_trains(opened: Store, clock: Clock) -> None:
    """Also when the other one looks after it is done."""
    one, two = Replica(opened, clock), Replica(opened, clock, "two")
    one.at(2)
    two.step()
    assert (len(one.trainings.started), len(two.trainings.started)) == (1, 0)
    one.end()
    two.step(TURN)
    assert not two.trainings.started
    assert two.at(24) == 0


def test_a_replica_that_dies_is_replaced(opened: Store, clock: Clock) -> None:
    """Its lease runs out, and what it had begun is begun again."""
    one, two = Replica(opened, clock), Replica(opened, clock, "two")
    one.at(2)
    expire(opened)
    two.step(TURN)
    assert len(two.trainings.running) == 1


def test_a_replica_that_lives_keeps_its_lease(opened: Store, clock: Clock) -> None:
    """As long as its training takes."""
    one, two = Replica(opened, clock), Replica(opened, clock, "two")
    one.at(2)
    for _ in range(5):
        expire(opened)
        one.step(TURN)
        two.step()
    assert not two.trainings.started


def test_a_replica_that_ends_gives_its_training_away(opened: Store, clock: Clock) -> None:
    """At once: in an update of the service, nobody waits for a lease."""
    one, two = Replica(opened, clock), Replica(opened, clock, "two")
    one.at(2)
    one.schedule.stop(1)
    assert not one.trainings.running
    two.step(TURN)
    assert len(two.trainings.running) == 1


# --- trouble --------------------------------------------------------------------------------------


def test_a_failed_training_waits_for_the_next_day(opened: Store, clock: Clock) -> None:
    """Its days are failed runs, which the next training catches up."""
    replica = Replica(opened, clock)
    replica.at(2)
    replica.end(1)
    assert replica.at(24) == 1
    assert replica.at(2.1) == 2


def test_a_training_waits_for_another_process(opened: Store, clock: Clock) -> None:
    """It is tried again until nobody else works on the models, by this replica alone."""
    one, two = Replica(opened, clock), Replica(opened, clock, "two")
    one.at(2)
    for count in range(1, 8):
        one.end(75)
        two.step(TURN)
        one.step(AGAIN.most)
        assert len(one.trainings.started) == count + 1
        assert one.trainings.started[-1].arguments[-1] == "--wait"
    one.end()
    assert one.at(23) == 8
    assert not two.trainings.started


def test_a_training_that_is_killed_is_started_again(opened: Store, clock: Clock) -> None:
    """Some times; then it waits for the next day."""
    replica = Replica(opened, clock)
    replica.at(2)
    for _ in range(MOST_STARTS):
        replica.end(-9)
        replica.step(AGAIN.most)
    assert replica.at(23) == MOST_STARTS
    replica.at(24)
    assert replica.at(2.1) == MOST_STARTS + 1


def test_a_store_that_is_away_at_the_time_delays_it(opened: Store, clock: Clock) -> None:
    """It starts when the store is back; told at the begin of the outage and at its end."""
    replica = Replica(opened, clock)
    file = database_file(opened.catalog.database._home)
    away = file.with_name("away")
    opened.catalog.database.close()
    file.rename(away)
    file.mkdir()
    clock.jump(1)
    with pytest.raises(StoreUnavailable):
        replica.step()
    assert not replica.trainings.started
    file.rmdir()
    away.rename(file)
    replica.step()
    assert len(replica.trainings.running) == 1


def test_a_store_that_goes_away_meanwhile_changes_nothing(opened: Store, clock: Clock) -> None:
    """The training goes on, and that it has ended is told when the store is back."""
    replica = Replica(opened, clock)
    replica.at(2)
    file = database_file(opened.catalog.database._home)
    opened.catalog.database.close()
    away = file.with_name("away")
    file.rename(away)
    file.mkdir()
    with pytest.raises(StoreUnavailable):
        replica.step(TURN)
    replica.trainings.started[0].ended = 0
    with pytest.raises(StoreUnavailable):
        replica.step(LEASE)
    file.rmdir()
    away.rename(file)
    replica.step(TURN)
    assert replica.at(23) == 1


def test_each_training_is_told_in_two_lines(
    opened: Store, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """When it begins, and how it has ended and what comes next."""
    caplog.set_level(logging.INFO, "modelsync.training")
    replica = Replica(opened, clock)
    replica.at(2)
    replica.end(1)
    loop = Loop("the schedule", replica.schedule.step, LOOK)
    for _ in range(10):
        loop.turn(clock.monotonic)
    began, ended = caplog.records
    assert began.getMessage() == "training begins"
    assert ended.levelno == logging.WARNING
    assert vars(ended)["fields"]["exit_code"] == 1
    assert vars(ended)["fields"]["next"].startswith("2026-11-27T02:00:00")


# --- what is set ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cron", "poll", "triggers"),
    [
        ("off", None, []),
        ("@daily", None, ["schedule"]),
        ("off", 600.0, ["change"]),
        ("@every 5m", 600.0, ["schedule", "change"]),
    ],
)
def test_what_is_set_is_watched(
    opened: Store, tmp_path: Path, cron: str, poll: float | None, triggers: list[str]
) -> None:
    """The times, the period of looking for changes, both or none."""
    config = settings_of(tmp_path, continuous=Continuous(cron=cron, poll=poll))
    found = list(schedules(config, opened.catalog, Trainings(), "one"))
    assert [one._trigger for one in found] == triggers
