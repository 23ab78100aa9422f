"""Bad days of continuous training: what is killed, away, full or changed loses nothing, and serves
nothing half; the next run goes on.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import pytest

from modelsync.continuous.pipeline import STEPS
from modelsync.errors import ModelsyncError
from modelsync.store.records import TrainingRun
from tests.continuous.machine import MONDAY, SCHEMA, SHOP, TUESDAY, WEDNESDAY, Machine, sales
from tests.continuous.test_command import age
from tests.fixtures import postgres, s3
from tests.fixtures.postgres import PostgresServer
from tests.fixtures.s3 import ACCESS_KEY, SECRET_KEY, S3Server
from tests.waiting import patient, until

pytestmark = pytest.mark.training


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path, {"MODELSYNC_JOB_NICE": "0"})  # others keep both processors busy
    made.write("Shop", SHOP, SCHEMA)
    made.brings(MONDAY, sales(40))
    return made


def failed(machine: Machine, day: date = MONDAY, name: str = "Shop") -> TrainingRun:
    """Train where that must fail; the run, whose error says the same as the command would."""
    with pytest.raises(ModelsyncError) as raised:
        machine.train(name, day)
    run = machine.runs(name)[0]
    assert run.state == "failed"
    assert run.error
    assert run.error["message"] == str(raised.value)
    assert "\n" not in str(raised.value)
    return run


def versions(machine: Machine) -> list[int]:
    return sorted(one.number for one in machine.store.catalog.model("Shop").versions)


def rows_of_table(machine: Machine) -> int:
    """How many rows the table has, as the check counts them."""
    run = machine.runs()[0]
    assert run.report
    return int(run.report["rows"])


# --- killed ---------------------------------------------------------------------------------------

_KILLED = """
import os, signal, sys
from modelsync.cli import main
{patch}
def killed(*arguments, **options):
    try:
        return real(*arguments, **options)
    finally:
        os.kill(os.getpid(), signal.SIGKILL)
{place} = killed
main(sys.argv[1:])
"""

_PLACES: dict[str, tuple[str, str]] = {
    **{
        step: (
            f"from modelsync.continuous.pipeline import STEPS; real = STEPS[{step!r}]",
            f"STEPS[{step!r}]",
        )
        for step in STEPS
    },
    "fill, once the table is written": (
        "from modelsync.data import table_writer; real = table_writer.replace_day",
        "table_writer.replace_day",
    ),
    "train, once its job is made": (
        "from modelsync.continuous import training; real = training._submitted",
        "training._submitted",
    ),
    "promote, once the pointer has moved": (
        "from modelsync.store.catalog import Catalog; real = Catalog.settle",
        "Catalog.settle",
    ),
}


@pytest.mark.parametrize("place", _PLACES)
def test_a_run_that_is_killed_at_any_step_is_gone_on_with(machine: Machine, place: str) -> None:
    """The same run, each day's rows once, one version; nothing is trained twice."""
    patch, name = _PLACES[place]
    code = _KILLED.format(patch=patch, place=name)
    done = subprocess.run(
        [sys.executable, "-c", code, "train", "Shop", "--date", MONDAY.isoformat()],
        env=os.environ | machine.environ,
        capture_output=True,
        timeout=patient(280),
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert machine.runs()[0].state == "running"
    age(machine)
    run = machine.train()
    assert (run.number, run.state, run.outcome, run.attempts) == (1, "done", "promoted", 2)
    assert versions(machine) == [1]
    assert machine.version().number == 1
    assert rows_of_table(machine) == 40
    assert len(machine.store.catalog.jobs(limit=100)) == 1
    litter = [path for path in (machine.folder / "home" / "run").rglob("*") if path.is_file()]
    assert not [path for path in litter if "requests" in path.parts], litter
    assert machine.train(day=TUESDAY).outcome == "unchanged"


def test_a_job_that_is_killed_fails_its_run_with_the_cause(machine: Machine) -> None:
    """By the kernel, for want of memory; mended, the same run goes on, and version 1 serves on."""
    machine.train()
    deadly = "    def train(self, data):\n        import os\n        os.kill(os.getpid(), 9)"
    machine.write("Shop", SHOP.replace("    def train(self, data):", deadly), SCHEMA)
    machine.brings(TUESDAY, sales(60))
    run = failed(machine, TUESDAY)
    assert run.error
    assert run.error["step"] == "train"
    assert "SIGKILL" in run.error["message"] or "signal 9" in run.error["message"]
    assert machine.version().number == 1
    machine.write("Shop", SHOP, SCHEMA)
    assert machine.train(day=TUESDAY).outcome == "promoted"
    assert rows_of_table(machine) == 100


# --- away -----------------------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    if not postgres.programs():
        pytest.skip("PostgreSQL is not installed")
    with PostgresServer() as started:
        yield started


_STOPS = """
import os, signal, sys, time
from modelsync.cli import main
from modelsync.continuous import run_record
from modelsync.continuous.pipeline import STEPS
run_record.PATIENCE = {patience}
real = STEPS[{step!r}]
def away(run):
    os.kill({pid}, signal.SIGQUIT)
    while os.path.exists("/proc/{pid}") and open("/proc/{pid}/stat").read().split()[2] != "Z":
        time.sleep(0.01)
    return real(run)
STEPS[{step!r}] = away
sys.exit(main(sys.argv[1:]))
"""


def stops(step: str, server: PostgresServer, patience: float) -> str:
    """The command, which ends the database when it comes to a step."""
    assert server._process
    return _STOPS.format(step=step, pid=server._process.pid, patience=patience)


def test_the_database_is_away_at_each_step(machine: Machine, server: PostgresServer) -> None:
    """Of models and of data: the command fails with the cause, and once the database is back the
    next one ends the run.
    """
    machine.values = {**machine.values, "MODELSYNC_DATABASE_URL": server.make_database()}
    for number, step in enumerate(STEPS, 1):
        day = MONDAY + timedelta(number)
        machine.brings(day, sales(40 + number))
        arguments = ("train", "Shop", "--date", day.isoformat())
        done = subprocess.run(
            [sys.executable, "-c", stops(step, server, 0.5), *arguments],
            env=os.environ | machine.environ,
            capture_output=True,
            text=True,
            timeout=patient(120),
            check=False,
        )
        assert done.returncode == 69, (step, done.stderr)
        assert "does not answer" in done.stderr.splitlines()[-1], (step, done.stderr)
        assert postgres.PASSWORD not in done.stderr
        server.stop()
        server.start()
        age(machine)
        done = machine.command(*arguments[1:])
        assert done.returncode == 0, (step, done.stderr)
        run = machine.runs()[0]
        assert (run.state, run.outcome) == ("done", "promoted"), (step, run)
        assert versions(machine) == list(range(1, number + 1)), step
        assert machine.version().number == number, step


def test_a_database_that_flaps_fails_nothing(machine: Machine, server: PostgresServer) -> None:
    """It is asked again for a while."""
    machine.values = {**machine.values, "MODELSYNC_DATABASE_URL": server.make_database()}
    arguments = ("train", "Shop", "--date", MONDAY.isoformat())
    with subprocess.Popen(
        [sys.executable, "-c", stops("compare", server, 40), *arguments],
        env=os.environ | machine.environ,
    ) as process:
        assert server._process
        server._process.wait(patient(120))
        server.stop()
        server.start()
        assert process.wait(patient(120)) == 0
    assert [run.outcome for run in machine.runs()] == ["promoted"]


def test_the_object_store_is_away(machine: Machine, tmp_path: Path) -> None:
    """What was fitted is stored once it is back, or the run fails with the cause and goes on; the
    version before serves meanwhile.
    """
    if not s3.program():
        pytest.skip("the S3 server is not here (`make s3-server`)")
    (tmp_path / "s3").mkdir()
    with S3Server(tmp_path / "s3") as server:
        machine.values = {
            **machine.values,
            "MODELSYNC_ARTIFACTS": f"s3://{server.make_bucket()}/models",
            "MODELSYNC_S3_ENDPOINT": server.endpoint,
            "MODELSYNC_S3_ACCESS_KEY": ACCESS_KEY,
            "MODELSYNC_S3_SECRET_KEY": SECRET_KEY,
        }
        assert machine.command("Shop", "--date", MONDAY.isoformat()).returncode == 0
        server.stop()
        machine.brings(TUESDAY, sales(60))
        with machine.running("Shop", "--date", TUESDAY.isoformat()) as process:
            until(lambda: machine.store.catalog.jobs(limit=1)[0].number == 2, 60)
            assert machine.version().number == 1
            server.start()
            said = "".join(process.communicate(timeout=patient(120)))
        assert SECRET_KEY not in said
        if process.returncode:
            done = machine.command("Shop", "--date", TUESDAY.isoformat())
            assert done.returncode == 0, (said, done.stderr)
        assert machine.runs()[0].outcome == "promoted"
        assert rows_of_table(machine) == 100


# --- data -----------------------------------------------------------------------------------------


def test_columns_that_change_are_told(machine: Machine) -> None:
    """A new one, one of another type and one that is gone: each against the last good data."""
    (machine.models / "Shop" / "schema.yml").unlink()  # without it nothing is refused
    machine.brings(MONDAY, "shop,y,size\na,yes,1\nb,yes,2\nc,no,3\nd,no,4\n" * 10)
    machine.train()
    for file in (machine.folder / "home").rglob("sales/*.parquet"):
        file.unlink()
    for file in machine.data.rglob("sales/*.parquet"):
        file.unlink()
    machine.brings(TUESDAY, "shop,y,town\na,yes,x\nb,yes,x\nc,no,x\nd,no,x\n" * 10)
    run = machine.train(day=TUESDAY)
    assert run.report
    found = {(one["column"], one["change"]) for one in run.report["changes"]}
    assert found == {("size", "gone"), ("town", "new")} or {name for name, _ in found} == {
        "size",
        "town",
    }, found
    assert "since the last good data" in machine.said("check")


def test_a_table_that_loses_a_column_trains_nothing(
    machine: Machine, server: PostgresServer
) -> None:
    """Somebody else has changed it: the report names the column, and the version serves on."""
    url = server.make_database()
    machine.values = {**machine.values, "MODELSYNC_DATA_URL": url}
    assert machine.command("Shop", "--date", MONDAY.isoformat()).returncode == 0
    schema = url.rpartition("%3D")[2]
    server.execute(f"ALTER TABLE {schema}.sales RENAME COLUMN shop TO place")
    run = failed(machine, TUESDAY)
    assert run.error
    assert run.error["step"] == "check"
    assert "shop: missing: expected a column" in run.error["message"]
    assert machine.version().number == 1
    server.execute(f"ALTER TABLE {schema}.sales RENAME COLUMN place TO shop")
    machine.brings(TUESDAY, sales(60))
    assert machine.train(day=TUESDAY).outcome == "promoted"


def test_an_empty_day_and_a_broken_one(machine: Machine) -> None:
    """A header without rows is a day without news; half a file is refused, and the rows stay."""
    machine.train()
    machine.brings(TUESDAY, "shop,y\n")
    assert machine.train(day=TUESDAY).outcome == "unchanged"
    machine.brings(WEDNESDAY, 'shop,y\na,yes\nb,"ye')
    run = failed(machine, WEDNESDAY)
    assert run.error
    assert run.error["step"] == "fill"
    machine.brings(WEDNESDAY, sales(20))
    assert machine.train(day=WEDNESDAY).outcome in ("promoted", "kept")
    assert rows_of_table(machine) == 60


# --- at once, and at odd times --------------------------------------------------------------------


def test_many_runs_of_one_day_at_once_are_one(machine: Machine) -> None:
    """Six processes: one trains, the others are told so or find it done."""
    arguments = ("Shop", "--date", MONDAY.isoformat())
    with ThreadPoolExecutor(6) as pool:
        ended = list(pool.map(lambda _: machine.command(*arguments), range(6)))
    assert {one.returncode for one in ended} <= {0, 75}, [one.stderr for one in ended]
    assert [one.returncode for one in ended].count(0) >= 1
    assert versions(machine) == [1]
    assert [one.outcome for one in machine.runs()].count("promoted") == 1
    assert rows_of_table(machine) == 40


def test_a_clock_that_has_jumped_ahead_keeps_no_day_from_its_training(machine: Machine) -> None:
    """A run of next year is there when the clock is right again: today is trained all the same, and
    no day in between is caught up.
    """
    machine.brings(MONDAY + timedelta(365), sales(40))
    machine.train(day=MONDAY + timedelta(365))
    assert machine.train(day=MONDAY).outcome == "promoted"
    assert versions(machine) == [1, 2]
    assert {run.date for run in machine.runs()} == {MONDAY, MONDAY + timedelta(365)}


# --- no room --------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True
    ).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full_keeps_the_day_before(tmp_path: Path, disk: Path) -> None:
    """The table keeps what it had, without half a file; with room the same day is trained."""
    machine = Machine(tmp_path)
    machine.write("Shop", SHOP, SCHEMA)
    machine.brings(MONDAY, sales(40))
    incoming = machine.data / "incoming"
    incoming.rename(tmp_path / "incoming")
    machine.data.rmdir()
    machine.data.symlink_to(disk)
    (disk / "incoming").mkdir()
    for file in (tmp_path / "incoming").iterdir():
        (disk / "incoming" / file.name).write_bytes(file.read_bytes())
    machine.train()
    (disk / "incoming" / f"{TUESDAY}.csv").write_text(sales(60))
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as full:
        while True:
            full.write(b"x" * 4096)
    run = failed(machine, TUESDAY)
    assert run.error
    assert (run.error["step"], run.error["kind"]) == ("fill", "StorageFailed")
    assert sorted(path.name for path in disk.rglob("sales/*")) == [f"{MONDAY}.parquet"]
    assert machine.version().number == 1
    ballast.unlink()
    assert machine.train(day=TUESDAY).outcome == "promoted"


def test_a_step_that_fails_in_an_unforeseen_way_is_told_in_one_line(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error of ours shows no traceback to whoever reads the run, and the run can go on."""

    def broken(run: object) -> object:
        raise ZeroDivisionError("/secret/path")

    with monkeypatch.context() as patch:
        patch.setitem(STEPS, "compare", broken)
        run = failed(machine)
    assert run.error
    assert "ZeroDivisionError: an error of modelsync: see its log" in run.error["message"]
    assert "secret" not in run.error["message"]
    assert machine.train().outcome == "promoted"
