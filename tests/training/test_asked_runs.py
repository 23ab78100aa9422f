"""Runs that were asked for: who starts them, and what becomes of those that never begin."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from modelsync.store import Store
from modelsync.store.tables import leases, training_runs
from modelsync.training.asked_runs import AGAIN, LOSING, MOST_STARTS, AskedRuns
from tests.training.storing import open_store
from tests.training.train_processes import Trainings

DAY = date(2026, 11, 26)


class Replica:
    """A trainer of a store: the runs that it starts."""

    def __init__(self, opened: Store, owner: str = "one", concurrency: int = 2) -> None:
        self.trainings = Trainings()
        self.asked = AskedRuns(opened.catalog, self.trainings, owner, concurrency)
        self.now = 1000.0

    def step(self, seconds: float = 0.0) -> list[tuple[str, ...]]:
        """Look once; the arguments of what runs."""
        self.now += seconds
        self.asked.step(self.now)
        return [one.arguments for one in self.trainings.running]

    def end(self, code: int) -> None:
        self.trainings.running[0].ended = code
        self.step()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "home")
    yield store
    store.catalog.database.close()


@pytest.fixture
def replica(opened: Store) -> Replica:
    return Replica(opened)


def expire(opened: Store) -> None:
    with opened.catalog.database.writing() as (connection, now):
        connection.execute(update(leases).values(until=now - timedelta(seconds=1)))


def test_a_run_is_started_once(opened: Store, replica: Replica) -> None:
    """With its day and what has asked for it, by the first replica that sees it."""
    opened.catalog.ask_run("Churn", DAY, "drift")
    assert replica.step() == [("Churn", "--date", "2026-11-26", "--trigger", "drift")]
    assert not Replica(opened, "two").step()
    opened.catalog.begin_run("Churn", DAY, "drift", "child", "c0de")
    replica.step(60)
    replica.end(0)
    assert not replica.step(60)
    with opened.catalog.database.reading() as connection:
        assert not connection.execute(leases.select()).all()


def test_some_run_at_a_time(opened: Store, replica: Replica) -> None:
    """The others wait, the oldest first."""
    for name in "ABC":
        opened.catalog.ask_run(name, DAY, "command")
    assert [arguments[0] for arguments in replica.step()] == ["A", "B"]
    opened.catalog.begin_run("A", DAY, "command", "child", "c0de")
    replica.end(0)
    assert [arguments[0] for arguments in replica.step()] == ["B", "C"]


@pytest.mark.parametrize("code", [0, 1, 2, 65])
def test_a_run_that_does_not_begin_fails(opened: Store, replica: Replica, code: int) -> None:
    """With the exit code of what should have begun it; nobody waits for it for ever."""
    run, _ = opened.catalog.ask_run("Churn", DAY, "command")
    replica.step()
    replica.end(code)
    error = opened.catalog.run("Churn", run.number).error
    assert error
    assert f"exit code {code}" in error["message"]
    assert not replica.step(60)


def test_a_run_waits_for_another_process(opened: Store, replica: Replica) -> None:
    """It begins when that one is done with the model."""
    opened.catalog.ask_run("Churn", DAY, "command")
    for _ in range(5):
        assert replica.step(AGAIN.most)
        replica.end(75)
    assert replica.step(AGAIN.most)


def test_a_run_that_is_killed_before_it_begins_is_tried_again(
    opened: Store, replica: Replica
) -> None:
    """Some times; then it has failed."""
    run, _ = opened.catalog.ask_run("Churn", DAY, "command")
    for _ in range(MOST_STARTS):
        assert replica.step(AGAIN.most)
        replica.end(-9)
    error = opened.catalog.run("Churn", run.number).error
    assert error
    assert "SIGKILL" in error["message"]


def test_a_replica_that_dies_is_replaced(opened: Store, replica: Replica) -> None:
    """Before the run was begun; and one that ends gives it away at once."""
    opened.catalog.ask_run("Churn", DAY, "command")
    replica.step()
    expire(opened)
    two = Replica(opened, "two")
    assert two.step()
    two.asked.stop(1)
    assert Replica(opened, "three").step()


@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_a_run_that_is_interrupted_goes_on(opened: Store, replica: Replica, end: str) -> None:
    """The service was started anew, or its machine is gone: the next one continues the run."""
    run, _ = opened.catalog.ask_run("Churn", DAY, "command")
    replica.step()
    opened.catalog.begin_run("Churn", DAY, "command", "child", "c0de")
    if end == "stopped":
        opened.catalog.pause_run(run.number, "child", "train")
        replica.asked.stop(1)
    else:
        with opened.catalog.database.writing() as (connection, now):
            past = now - timedelta(minutes=2)
            connection.execute(update(training_runs).values(heartbeat=past))
            connection.execute(update(leases).values(until=past))
    two = Replica(opened, "two")
    two.step()
    assert [arguments[0] for arguments in two.step(LOSING)] == ["Churn"]
    opened.catalog.begin_run("Churn", DAY, "command", "another", "c0de")
    opened.catalog.end_run(run.number, "another", "failed", error={"step": "train", "kind": ""})
    two.end(1)
    assert not two.step(60)


def test_a_paused_run_of_somebody_else_is_left_alone(opened: Store, replica: Replica) -> None:
    """Airflow goes on with it, step by step."""
    run = opened.catalog.begin_run("Churn", DAY, "airflow", "task", "c0de")
    opened.catalog.pause_run(run.number, "task", "check")
    assert not replica.step()


def test_a_silent_run_is_lost(opened: Store, replica: Replica) -> None:
    """Its process was killed together with its replica."""
    run = opened.catalog.begin_run("Churn", DAY, "command", "child", "c0de")
    replica.step(LOSING)
    assert opened.catalog.run("Churn", run.number).state == "running"
    with opened.catalog.database.writing() as (connection, now):
        past = now - timedelta(minutes=2)
        connection.execute(update(training_runs).values(heartbeat=past))
    replica.step(LOSING)
    assert opened.catalog.run("Churn", run.number).state == "failed"
