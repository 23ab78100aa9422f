"""`modelsync train` as operators and schedulers call it: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests.continuous.machine import MONDAY, SCHEMA, SHOP, TUESDAY, Machine, sales
from tests.fixtures import postgres
from tests.fixtures.postgres import PostgresServer
from tests.waiting import until

pytestmark = pytest.mark.training

SLOW = SHOP.replace(
    "    def train(self, data):",
    "    def train(self, data):\n"
    "        import os, pathlib, time\n"
    "        folder = pathlib.Path(os.environ['TEST_FOLDER'])\n"
    "        (folder / f'began-{os.getpid()}').touch()\n"
    "        while not (folder / 'go').exists():\n"
    "            time.sleep(0.05)",
)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path, {"MODELSYNC_LOG_FORMAT": "json", "TEST_FOLDER": str(tmp_path)})
    made.write("Shop", SHOP, SCHEMA)
    return made


def test_all_models_are_trained_and_others_left_out(machine: Machine) -> None:
    machine.write("Plain", "class Plain:\n    def transform_predict(self):\n        return {}\n")
    machine.write("Broken", "class Broken(\n")
    machine.write("NoData", "class NoData:\n    def fit(self, x, y):\n        return {}\n")
    machine.brings(MONDAY, sales(40))
    done = machine.command("--date", MONDAY.isoformat())
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Broken is left out: its folder is broken: etls.py:1")
    assert lines[1].startswith("NoData is left out: its fit has no data: give the class source =")
    assert lines[2] == "Plain is left out: it has neither fit nor train"
    assert lines[3].startswith("Shop 2026-11-23 fill: 40 rows of ")
    assert lines[-1] == "Shop 2026-11-23 promoted"


def test_a_failure_is_one_line_of_each_kind(machine: Machine) -> None:
    machine.brings(MONDAY, "shop,y\na,perhaps\n")
    done = machine.command("Shop", "Nobody", "--date", MONDAY.isoformat(), "--json")
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("modelsync: ")]
    assert errors[0].startswith(
        "modelsync: Shop 2026-11-23: fill: incoming/2026-11-23*.csv (1 row) b"
    )
    assert errors[1] == "modelsync: Nobody: there is no model Nobody; there are Shop"
    logged = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    [failed] = [one for one in logged if one.get("event") == "training_run"]
    assert (failed["step"], failed["model"], failed["kind"]) == ("fill", "Shop", "DataRefused")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert (told[0]["state"], told[0]["error"]["step"]) == ("failed", "fill")
    assert told[0]["error"]["report"]["violations"]
    run = machine.runs()[0]
    assert run.error
    assert run.error["message"] in errors[0]
    assert run.error["message"] in failed["message"]


def test_two_at_once_and_a_killed_one(machine: Machine, tmp_path: Path) -> None:
    """The second of two is told who works on it; one that is killed is gone on with."""
    machine.write("Shop", SLOW, SCHEMA)
    machine.brings(MONDAY, sales(40))
    with machine.running("Shop", "--date", MONDAY.isoformat()) as first:
        until(lambda: list(tmp_path.glob("began-*")), 60)
        second = machine.command("Shop", "--date", MONDAY.isoformat())
        assert second.returncode == 75
        assert "another process works on run 1 of Shop" in second.stderr.splitlines()[-1]
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    assert machine.runs()[0].state == "running"
    (tmp_path / "go").touch()
    age(machine)
    done = machine.command("Shop", "--date", MONDAY.isoformat())
    assert done.returncode == 0, done.stderr
    [run] = machine.runs()
    assert (run.state, run.outcome, run.attempts) == ("done", "promoted", 2)


def test_a_process_that_is_told_to_end_lets_its_run_wait(machine: Machine, tmp_path: Path) -> None:
    machine.write("Shop", SLOW, SCHEMA)
    machine.brings(MONDAY, sales(40))
    with machine.running("Shop", "--date", MONDAY.isoformat()) as process:
        until(lambda: list(tmp_path.glob("began-*")), 60)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 75
    [run] = machine.runs()
    assert (run.state, run.step) == ("waiting", "train")
    (tmp_path / "go").touch()
    assert machine.command("Shop", "--date", MONDAY.isoformat()).returncode == 0
    assert machine.runs()[0].outcome == "promoted"


def age(machine: Machine) -> None:
    """Let a minute pass for the store in which nothing is heard of any process."""
    from datetime import timedelta

    from sqlalchemy import update

    from modelsync.store.tables import training_runs

    with machine.store.catalog.database.writing() as (connection, now):
        past = update(training_runs).values(heartbeat=now - timedelta(minutes=2))
        connection.execute(past)


# --- the database goes away -----------------------------------------------------------------------


def test_a_database_that_is_away_is_told_and_gone_on_with(machine: Machine) -> None:
    if not postgres.programs():
        pytest.skip("PostgreSQL is not installed")
    with PostgresServer() as server:
        machine.values = {**machine.values, "MODELSYNC_DATA_URL": server.make_database()}
        machine.brings(MONDAY, sales(40))
        machine.train()
        server.stop()
        machine.brings(TUESDAY, sales(60))
        done = machine.command("Shop", "--date", TUESDAY.isoformat())
        assert done.returncode == 69, done.stderr
        last = done.stderr.splitlines()[-1]
        assert last.startswith("modelsync: Shop 2026-11-24: fill: the database of training data do")
        assert "hunter2" not in done.stderr
        run = machine.runs()[0]
        assert run.error
        assert (run.state, run.error["kind"]) == ("failed", "StoreUnavailable")
        server.start()
        assert machine.train(day=TUESDAY).filled == 60
