"""Trainings by the schedule of real services: at their time, by one replica, whatever dies."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from modelsync.settings import Secret
from modelsync.settings.training import StoreSettings
from modelsync.store import Store
from modelsync.store.records import SCHEDULE_LEASE, TrainingRun
from tests.command import modelsync
from tests.fixtures.postgres import PostgresServer, programs
from tests.fixtures.processes import gone
from tests.fixtures.service import Service, serving, write_model
from tests.training.storing import open_store
from tests.waiting import until

pytestmark = pytest.mark.training

DAILY = "MODELSYNC_TRAIN_CRON"

SLOW = """
import os, pathlib, time

class Slow:
    def train(self):
        folder = pathlib.Path(os.environ["TEST_FOLDER"])
        (folder / f"began-{os.getpid()}").touch()
        while not (folder / "go").exists():
            time.sleep(0.05)
        return {"answer": 42}

    def predict(self, x: list):
        return [42 for _ in x]
"""

PRICED = """
class Priced:
    source = "prices.csv"
    target = "price"

    def fit(self, x: list, y: list):
        return sum(y) / len(y)

    def predict(self, x: list):
        return [self.model for _ in x]
"""

PRICES = "rooms,price\n" + "1,10\n2,20\n" * 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "models", "Slow", SLOW)
    return tmp_path


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    if not programs():
        pytest.skip("PostgreSQL is not installed")
    with PostgresServer() as server:
        yield server


@contextmanager
def replica(folder: Path, name: str, url: str = "", **settings: str) -> Iterator[Service]:
    """A service with a state directory of its own."""
    place = folder / name
    place.mkdir(exist_ok=True)
    env = {
        "TEST_FOLDER": str(folder),
        "MODELSYNC_DATABASE_URL": url,
        "MODELSYNC_WORKERS": "1",
        "MODELSYNC_JOB_NICE": "0",
        **settings,
    }
    with serving(place, folder / "models", env=env) as service:
        yield service
    gone(service.home)


def missed(store: Store) -> None:
    """Training was done two days ago, and not since."""
    store.catalog.mark_done(SCHEDULE_LEASE, datetime.now(UTC) - timedelta(days=2))


def runs(store: Store, model: str, state: str = "done") -> list[TrainingRun]:
    return [one for one in store.catalog.runs(model) if one.state == state]


def done_since(store: Store, run: TrainingRun) -> bool:
    done = store.catalog.done_until(SCHEDULE_LEASE)
    return done is not None and done > run.created - timedelta(minutes=1)


def serves_first(service: Service) -> bool:
    return bool(service.get("/models/Slow").json()["current"]["number"] == 1)


def trainer(service: Service) -> psutil.Process:
    """The process that starts trainings."""
    (found,) = (
        one
        for one in psutil.Process(service.process.pid).children()
        if "modelsync.training.trainer" in one.cmdline()
    )
    return found


def test_a_training_starts_at_its_time(folder: Path) -> None:
    """Within five seconds; each that is due, and the service says when the next one is."""
    (folder / "go").touch()
    with replica(folder, "one", **{DAILY: "@every 5s"}) as service:
        store = open_store(service.home)
        first = until(lambda: runs(store, "Slow"), 90)[-1]
        assert (first.trigger, first.outcome) == ("schedule", "promoted")
        began = service.lines(event="training_schedule", message="training begins")[0]
        due = datetime.fromisoformat(str(began["due"]))
        started = datetime.fromisoformat(str(began["time"]))
        assert timedelta(0) <= started - due < timedelta(seconds=5)
        until(lambda: len(runs(store, "Slow")) > 1, 60)
        training = service.get("/models/Slow").json()["training"]
        assert training["schedule"] == "@every 5s"
        assert datetime.fromisoformat(training["next"]) > first.created
        assert service.get("/models/Slow").json()["current"]["number"] >= 1


def test_changed_data_start_a_training(folder: Path) -> None:
    """Looked for every second; the same data train nothing, and make no run."""
    model = write_model(folder / "models", "Priced", PRICED)
    data = folder / "data"
    data.mkdir()
    (data / "prices.csv").write_text(PRICES)
    assert model.exists()
    (folder / "go").touch()
    settings = {"MODELSYNC_TRAIN_POLL": "1s", "MODELSYNC_DATA": str(data)}
    with replica(folder, "one", **settings) as service:
        store = open_store(service.home)
        until(lambda: runs(store, "Priced"), 90)
        (data / "prices.csv").write_text(PRICES + "3,30\n" * 20)
        second, first = until(lambda: runs(store, "Priced")[1:] and runs(store, "Priced"), 90)
        assert (first.trigger, second.trigger) == ("change", "change")
        assert first.fingerprint != second.fingerprint
        assert (first.outcome, second.version) == ("promoted", 2)


def test_of_two_replicas_one_trains_a_day_that_was_missed(
    folder: Path, postgres: PostgresServer
) -> None:
    """At the start, once; the other one's processes serve it too."""
    url = postgres.make_database()
    store = open_store(folder / "client", store=StoreSettings(database_url=Secret(url)))
    missed(store)
    (folder / "go").touch()
    with (
        replica(folder, "one", url, **{DAILY: "@daily"}) as one,
        replica(folder, "two", url, **{DAILY: "@daily"}) as two,
    ):
        (run,) = until(lambda: runs(store, "Slow"), 90)
        assert (run.trigger, run.attempts) == ("schedule", 1)
        until(lambda: done_since(store, run), 60)
        began = [
            len(each.lines(event="training_schedule", message="training begins"))
            for each in (one, two)
        ]
        assert sorted(began) == [0, 1]
        for each in (one, two):
            until(lambda: serves_first(each), 60)  # noqa: B023  it is called in this turn
    assert len(store.catalog.runs("Slow")) == 1


@pytest.mark.parametrize("victim", ["the trainer", "the service", "modelsync train"])
def test_a_replica_that_dies_is_replaced(
    folder: Path, postgres: PostgresServer, victim: str
) -> None:
    """Killed in mid-training; the day is trained all the same, within a minute or two."""
    url = postgres.make_database()
    store = open_store(folder / "client", store=StoreSettings(database_url=Secret(url)))
    missed(store)
    with ExitStack() as stack:
        one = stack.enter_context(replica(folder, "one", url, **{DAILY: "@daily"}))
        until(lambda: list(folder.glob("began-*")), 60)
        stack.enter_context(replica(folder, "two", url, **{DAILY: "@daily"}))
        if victim == "modelsync train":
            (process,) = (child for child in trainer(one).children() if "train" in child.cmdline())
        else:
            process = trainer(one) if victim == "the trainer" else psutil.Process(one.process.pid)
        os.kill(process.pid, signal.SIGKILL)
        (folder / "go").touch()
        (run,) = until(lambda: runs(store, "Slow"), 200)
        assert run.outcome == "promoted"
        assert store.catalog.model("Slow").current == run.version


def test_a_run_goes_on_when_its_service_starts_anew(folder: Path) -> None:
    """Nobody asks for it again: an update of the service ends no training."""
    with replica(folder, "one") as service:
        store = open_store(service.home)
        run, _ = store.catalog.ask_run("Slow", datetime.now(UTC).date(), "command")
        until(lambda: list(folder.glob("began-*")), 90)
    assert store.catalog.run("Slow", run.number).state == "waiting"
    (folder / "go").touch()
    with replica(folder, "one"):
        until(lambda: runs(store, "Slow"), 120)
    found = store.catalog.run("Slow", run.number)
    assert (found.outcome, found.attempts) == ("promoted", 2)


def test_a_store_that_is_away_at_the_time_delays_it(folder: Path, postgres: PostgresServer) -> None:
    """It is told in one line, and the training starts when the store is back."""
    url = postgres.make_database()
    store = open_store(folder / "client", store=StoreSettings(database_url=Secret(url)))
    store.catalog.mark_done(SCHEDULE_LEASE, datetime.now(UTC) - timedelta(seconds=45))
    (folder / "go").touch()
    with replica(folder, "one", url, **{DAILY: "@every 1m"}) as service:
        until(lambda: service.get("/models/Slow").json()["training"]["next"])
        postgres.stop()
        try:
            until(lambda: service.lines(event="trainer", loop="the schedule"), 60)
        finally:
            postgres.start()
        until(lambda: runs(store, "Slow"), 90)
        told = service.lines(event="trainer", loop="the schedule", level="warning")
        assert len(told) == 1


@pytest.mark.parametrize(
    ("cron", "says"),
    [
        ("daily", "MODELSYNC_TRAIN_CRON 'daily' is not a schedule"),
        ("0 25 * * *", "MODELSYNC_TRAIN_CRON '0 25 * * *' is not a schedule"),
        ("@every day", "MODELSYNC_TRAIN_CRON '@every day' is not a schedule"),
    ],
)
def test_a_malformed_schedule_is_refused_at_the_start(folder: Path, cron: str, says: str) -> None:
    """In one line, with the setting's name and what may stand there."""
    done = modelsync(
        "serve", cwd=folder, MODELSYNC_MODELS="models", MODELSYNC_PORT="0", **{DAILY: cron}
    )
    assert done.returncode == 2
    assert says in done.stderr
    assert "0 2 * * *" in done.stderr
