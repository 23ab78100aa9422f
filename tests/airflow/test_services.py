"""One model by a real scheduler, DAG processor and API server, with their data in PostgreSQL."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.airflow.installation import Airflow
from tests.airflow.shop import Shop
from tests.fixtures import postgres
from tests.waiting import until

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1800)]

DAG = "modelsync_Shop"

TODAY = datetime.now(UTC).date().isoformat()

ROWS = [(20 + i, 7, i / 2) for i in range(50)]


class Webhook:
    """A server that remembers the JSON that was posted to it."""

    def __init__(self) -> None:
        told = self.told = list[dict[str, Any]]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/secret"

    def __enter__(self) -> Webhook:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    made = Shop(tmp_path_factory.mktemp("shop"))
    made.write(
        {
            TODAY: ROWS,
            "2026-11-02": ROWS[:10],
            "2026-11-03": ROWS[:20],
            "2026-11-04": [(300, 9, 4.0), (-1, 9, 4.0)],
        }
    )
    return made


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    with Webhook() as made:
        yield made


@pytest.fixture(scope="module")
def airflow(
    tmp_path_factory: pytest.TempPathFactory, shop: Shop, webhook: Webhook
) -> Iterator[Airflow]:
    if not postgres.programs():
        pytest.skip("PostgreSQL is not installed")
    home = tmp_path_factory.mktemp("airflow")
    with postgres.PostgresServer() as server:
        server.execute("CREATE DATABASE airflow")
        environ = {
            **shop.settings(),
            "MODELSYNC_DATABASE_URL": server.make_database(),
            "MODELSYNC_AIRFLOW_WEBHOOK": webhook.url,
        }
        url = server.url("airflow").replace("postgresql://", "postgresql+psycopg2://")
        made = Airflow(home, environ, url)
        made.run("db", "migrate")
        with made.running():
            yield made


def events(airflow: Airflow) -> list[tuple[Any, ...]]:
    """Return the version and the day of each event of the model's asset, the oldest first."""
    found = airflow.call("GET", "assets/events")["asset_events"]
    ours = sorted(
        (one for one in found if one["uri"] == "modelsync://models/Shop"), key=lambda one: one["id"]
    )
    assert {one["group"] for one in ours} <= {"model"}
    return [(one["extra"]["version"], one["extra"]["date"]) for one in ours]


def test_a_new_model_is_trained_today(airflow: Airflow, shop: Shop) -> None:
    """The scheduler finds the folder and runs today's training: version 1 is an event."""
    run = f"scheduled__{TODAY}T00:00:00+00:00"
    until(lambda: airflow.states(DAG, run), 60, "the scheduler starts today's run")
    assert set(airflow.finished(DAG, run).values()) == {"success"}
    assert events(airflow) == [(1, TODAY)]
    assert "50 rows" in airflow.log(DAG, run, "datafill")
    assert len(shop.trainings()) == 1


def test_a_run_goes_on_after_its_scheduler_was_killed(airflow: Airflow, shop: Shop) -> None:
    """A run that REST has started loses its scheduler while it trains. What the killed one has
    begun is not lost: the task that the next scheduler starts waits for it, and goes on from there.
    """
    shop.gate.unlink()
    run = airflow.trigger(DAG, "2026-11-02")
    try:
        until(shop.waits, 120, "the model is trained")
        airflow.kill("scheduler")
        airflow.start("scheduler", "--skip-serve-logs")
        until(
            lambda: airflow.states(DAG, run)["train"] == "up_for_reschedule",
            120,
            "the next scheduler starts the task again, which waits",
        )
    finally:
        shop.gate.touch()
    assert set(airflow.finished(DAG, run).values()) == {"success"}
    assert events(airflow) == [(1, TODAY), (2, "2026-11-02")]
    assert len(shop.trainings()) == 2


def test_a_data_asset_starts_a_training(airflow: Airflow, shop: Shop) -> None:
    """Its event starts a run of today. The data is the same, so nothing is trained."""
    assets = airflow.call("GET", "assets", name_pattern="modelsync/data/Shop")["assets"]
    airflow.call("POST", "assets/events", {"asset_id": assets[0]["id"]})

    def started() -> str:
        runs = airflow.call("GET", f"dags/{DAG}/dagRuns")["dag_runs"]
        found = [one["dag_run_id"] for one in runs if one["run_type"] == "asset_triggered"]
        return found[0] if found else ""

    states = airflow.finished(DAG, until(started, 60, "the event starts a run"))
    assert states["check"] == "success"
    assert states["train"] == states["promote"] == "skipped"
    assert len(shop.trainings()) == 2


def test_days_are_filled_in(airflow: Airflow, webhook: Webhook) -> None:
    """A backfill trains each of its days; one whose data is refused fails alone, and is told."""
    options = ("--from-date", "2026-11-03", "--to-date", "2026-11-04", "--max-active-runs", "1")
    airflow.run("backfill", "create", "--dag-id", DAG, *options)
    good, bad = (f"backfill__2026-11-0{day}T00:00:00+00:00" for day in (3, 4))
    assert set(airflow.finished(DAG, good).values()) == {"success"}
    assert airflow.finished(DAG, bad)["datafill"] == "failed"
    assert events(airflow)[2:] == [(3, "2026-11-03")]
    log = airflow.log(DAG, bad, "datafill")
    assert "age" in log
    [told] = webhook.told
    assert (told["model"], told["date"], told["step"]) == ("Shop", "2026-11-04", "fill")
    assert told["cause"] in log
    assert told["text"].startswith("training of Shop for 2026-11-04 failed at step fill: ")
    assert webhook.url not in log
