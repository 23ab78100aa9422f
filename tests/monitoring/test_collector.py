"""The collector: what becomes of samples, also where it is killed, and of lines that are broken."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import time
from typing import Any

import pyarrow.parquet as pq
import pytest

from modelsync.models.serialization import to_json
from modelsync.models.statistics.histograms import Histograms
from modelsync.monitoring import figures, sample_files
from modelsync.monitoring.collector import Collector
from modelsync.monitoring.figures import ModelDrift
from modelsync.monitoring.sample_files import SampleFiles
from modelsync.monitoring.sample_table import PREDICTION, VERSION
from modelsync.releases.fitted import FittedVersions, ModelVersions
from modelsync.settings import Settings
from modelsync.settings.service import State
from modelsync.settings.training import Continuous
from modelsync.store import Store
from modelsync.store import open as open_store
from tests.fixtures import fits
from tests.waiting import until

RANDOM = random.Random(5)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    (folder / "samples" / "spool").mkdir(parents=True)
    return folder


@pytest.fixture
def config(home: Path) -> Settings:
    return Settings(state=State(home=home))


@pytest.fixture
def store(config: Settings) -> Iterator[Store]:
    """A store with version 1 of Price, fitted with a thousand rows; it serves."""
    opened = open_store(config)
    rows: dict[str, list[Any]] = {
        "size": [RANDOM.gauss(100, 20) for _ in range(1000)],
        "city": ["A", "B"] * 500,
    }
    histograms = Histograms()
    histograms.add(rows, {"price": [2 * size for size in rows["size"]]})
    found = histograms.statistics(classifies=False)
    assert found
    job = fits.run(opened.catalog, fits.ask(opened.catalog, "Price"))
    made = replace(fits.artefact(opened), statistics=to_json(found))
    opened.catalog.finish(job.id, fits.OWNER, made)
    serve(config, 1)
    yield opened
    opened.catalog.database.close()


def serve(config: Settings, number: int) -> None:
    FittedVersions(config.state.home).write({"Price": ModelVersions(number)})


def sample(identity: int, **values: Any) -> dict[str, Any]:
    size = RANDOM.gauss(100, 20)
    return {
        "id": f"r{identity}", "model": "Price", "code": "abc", "number": 1, "time": time(),
        "rows": 1, "columns": {"size": [size], "city": [RANDOM.choice("AB")]},
        "result": {"prediction": 2 * size}, **values,
    }  # fmt: skip


def spool(home: Path, name: str, *lines: dict[str, Any] | bytes) -> None:
    """A file of the spool, as a worker has written it."""
    data = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    (home / "samples" / "spool" / f"{name}.jsonl").write_bytes(b"\n".join(data) + b"\n")


def rows(home: Path) -> list[dict[str, Any]]:
    files = sorted((home / "samples" / "parquet").rglob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def collect(config: Settings, store: Store) -> ModelDrift:
    Collector(config, store).step(0.0)
    return figures.read(config.state.home)["Price"]


def test_samples_like_the_training_data_have_not_drifted(config: Settings, store: Store) -> None:
    """Figures of columns and of predictions, against those that the version was fitted with."""
    spool(config.state.home, "1", *(sample(number) for number in range(500)))
    found = collect(config, store)
    assert (found.version, found.samples, found.total, found.note) == (1, 500, 500, "")
    assert {one.name for one in found.columns} == {"size", "city"}
    for one in (*found.columns, *found.target):
        assert one.psi < 0.1, one
        assert one.p_value is None or one.p_value > 0.001, one
    assert found.target[0].name == "price"
    assert not any((config.state.home / "samples" / "spool").iterdir())


def test_drift_of_one_column(config: Settings, store: Store) -> None:
    """Larger numbers, a category that was never seen, values that are missing: each is told."""
    lines = [sample(number) for number in range(400)]
    for number, line in enumerate(lines):
        line["columns"]["size"] = [str(160 + number % 50)]  # as a query has them
        line["columns"]["city"] = ["C" if number % 2 else None]
    spool(config.state.home, "1", *lines)
    found = {one.name: one for one in collect(config, store).columns}
    assert found["size"].psi > 5
    assert found["size"].ks is not None
    assert found["size"].ks > 0.95
    assert found["city"].psi > 5


def test_predictions_of_an_odd_form_are_no_drift(config: Settings, store: Store) -> None:
    """An object with several members is no value that could be compared with the target."""
    lines = [sample(number, result={"cost": 5.0, "unit": "EUR"}) for number in range(200)]
    spool(config.state.home, "1", *lines)
    found = collect(config, store)
    assert found.target == ()
    assert found.columns
    assert json.loads(rows(config.state.home)[0][PREDICTION]) == {"cost": 5.0, "unit": "EUR"}
    store.catalog.tell_truths("Price", {"r1": {"cost": 6.5}})
    assert collect(config, store).live_error == 1.5


def test_booleans_and_dates_in_other_forms_are_the_same() -> None:
    """0 and 1 for booleans; dates as ISO 8601, as seconds or milliseconds."""
    from datetime import UTC, datetime

    from modelsync.models.statistics.summary import ColumnStatistics
    from modelsync.monitoring.drift import column_drift

    flag = ColumnStatistics("flag", "category", (500, 500, 0), values=(True, False))
    for forms in ([True, False], [1, 0], ["true", "false"], [1.0, 0.0]):
        assert column_drift(flag, forms * 100).psi == 0.0
    seconds = [1.7e9 + 86400 * day for day in range(200)]
    edges = (seconds[0], seconds[100], seconds[-1])
    day = ColumnStatistics("day", "time", (100, 100), edges, sample=tuple(seconds))
    texts = [datetime.fromtimestamp(one, UTC).isoformat() for one in seconds]
    for values in (texts, seconds, [1000 * one for one in seconds]):
        found = column_drift(day, values)
        assert (found.psi, found.ks) == (0.0, 0.0)


def test_few_samples_tell_nothing(config: Settings, store: Store) -> None:
    """Under a hundred there are no figures, and it is said why."""
    spool(config.state.home, "1", *(sample(number) for number in range(99)))
    found = collect(config, store)
    assert (found.columns, found.samples) == ((), 99)
    assert "99 samples" in found.note


def test_broken_lines_are_left_out(config: Settings, store: Store) -> None:
    """What a power cut has left, or another program: the other samples are kept."""
    spool(
        config.state.home,
        "1",
        sample(1),
        b'{"id": "r2", "mod',
        b"\xff\0",
        b"[1]",
        sample(3, time=1e300),
        sample(4, columns=[1]),
        sample(5, columns={"size": 3}),
        sample(6),
    )
    assert collect(config, store).total == 2
    assert [row["modelsync_request_id"] for row in rows(config.state.home)] == ["r1", "r6"]


def test_types_stay_the_same_in_all_files(
    config: Settings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A column that has become text, or has fractions, stays so in later files."""
    monkeypatch.setattr(sample_files, "ROTATE", 1)  # a file for each batch
    odd = [{"a": [1]}, {"a": [1.5]}, {"a": [1]}, {"a": ["x"]}, {"a": [2]}, {"b": [[1, {"c": 2}]]}]
    for number, columns in enumerate(odd):
        spool(config.state.home, str(number), sample(number, columns=columns))
        collect(config, store)
    files = sorted((config.state.home / "samples").rglob("*.parquet"))
    kinds = [str(pq.read_schema(file).field("a").type) for file in files]
    assert kinds == ["int64", "double", "double", "string", "string", "string"]
    assert pq.read_table(files[-1]).to_pylist()[0]["b"] == '[1,{"c":2}]'


def test_files_are_bounded(config: Settings, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go; no file or folder can be read by others."""
    monkeypatch.setattr(sample_files, "ROTATE", 1)
    small = replace(config, continuous=Continuous(sample_size=20_000))
    for number in range(8):
        spool(config.state.home, str(number), *(sample(number * 100 + n) for n in range(100)))
        found = collect(small, store)
    files = list((config.state.home / "samples").rglob("*.parquet"))
    assert found.total == 800
    assert 1 <= len(files) < 8
    assert sum(file.stat().st_size for file in files) <= 20_000
    assert all(file.stat().st_mode & 0o077 == 0 for file in (*files, files[0].parent))


def test_another_version_begins_anew(config: Settings, store: Store) -> None:
    """Samples of one version are not compared with the data of another, nor after a return."""
    home = config.state.home
    collector = Collector(config, store)
    spool(home, "1", *(sample(number) for number in range(150)))
    collector.step(0.0)
    serve(config, 2)
    spool(home, "2", *(sample(number, number=2) for number in range(150, 160)))
    for restarted in (False, True):
        collector = Collector(config, store) if restarted else collector
        collector.step(0.0)
        found = figures.read(home)["Price"]
        assert (found.version, found.samples, found.total) == (2, 10, 160)
    serve(config, 1)
    for restarted in (False, True):
        collector = Collector(config, store) if restarted else collector
        collector.step(0.0)
        assert figures.read(home)["Price"].samples == 0


def test_truth_makes_live_error(config: Settings, store: Store) -> None:
    """Of a model that predicts numbers the mean absolute error is told, and no accuracy."""
    lines = [sample(number, result={"prediction": 10.0}) for number in range(10)]
    spool(config.state.home, "1", *lines)
    store.catalog.tell_truths("Price", {f"r{number}": 12.5 for number in range(8)})
    found = collect(config, store)
    assert (found.compared, found.live_error, found.live_accuracy) == (8, 2.5, None)


def test_ks_and_psi_are_those_of_scipy_and_by_hand(config: Settings, store: Store) -> None:
    """The figures are those of the stored values, and of the bins."""
    from math import log

    from scipy.stats import ks_2samp

    from modelsync.models.statistics.summary import ColumnStatistics
    from modelsync.monitoring.drift import column_drift

    before = [RANDOM.gauss(0, 1) for _ in range(800)]
    now = [RANDOM.gauss(0.3, 1) for _ in range(600)]
    column = ColumnStatistics("a", "number", (400, 400), (-9.0, 0.0, 9.0), sample=tuple(before))
    found = column_drift(column, now)
    expected = ks_2samp(before, now)
    assert found.ks == pytest.approx(expected.statistic, abs=1e-6)
    assert found.p_value == pytest.approx(expected.pvalue, rel=0.1)
    low = sum(value < 0 for value in now) / 600
    by_hand = (low - 0.5) * log(low / 0.5) + (1 - low - 0.5) * log((1 - low) / 0.5)
    assert found.psi == pytest.approx(by_hand, abs=1e-5)


KILLED = """
import json, os, signal, sys
from pathlib import Path
import scipy.stats
from modelsync import settings, store
from modelsync.monitoring import collector

def traced(owner, name):
    whole = getattr(owner, name)
    def around(*args, **kwargs):
        step()
        found = whole(*args, **kwargs)
        step()
        return found
    setattr(owner, name, around)

def step():
    global calls
    calls += 1
    if calls == end:
        os.kill(os.getpid(), signal.SIGKILL)

config = settings.load()
spool = config.state.home / "samples" / "spool"
lines = sys.stdin.read().splitlines()
for end in range(1, 100):
    for name in "ab":
        (spool / f"{end:03d}{name}.jsonl").write_text("\\n".join(lines[:3]) + "\\n")
        del lines[:3]
    child = os.fork()
    if child == 0:
        calls = 0
        for name in ("rename", "replace", "unlink", "mkdir"):
            traced(Path, name)
        traced(collector.SampleFiles, "add")
        traced(collector.figures, "write")
        opened = store.open(config)
        traced(opened.catalog, "observe")
        collector.Collector(config, opened).step(0.0)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code != -signal.SIGKILL:
        break
print(end, code)
"""


def test_a_collector_that_is_killed_anywhere_counts_each_sample_once(
    config: Settings, store: Store
) -> None:
    """SIGKILL before and after each step: all samples are there once, in files and store."""
    home = config.state.home
    done = subprocess.run(
        [sys.executable, "-c", KILLED],
        env={**os.environ, "MODELSYNC_HOME": str(home)},
        input="\n".join(json.dumps(sample(number)) for number in range(600)),
        capture_output=True,
        check=True,
        text=True,
    )
    rounds, code = map(int, done.stdout.split())
    assert code == 0, done.stderr
    assert rounds > 10
    total = rounds * 6
    collect(config, store)
    found = [row["modelsync_request_id"] for row in rows(home)]
    assert sorted(found) == sorted(f"r{number}" for number in range(total))
    truths = {f"r{number}": 1.0 for number in range(total)}
    assert store.catalog.tell_truths("Price", truths) == total
    left = [file.name for file in (home / "samples").rglob("*") if file.is_file()]
    assert {Path(name).suffix for name in left} <= {".parquet"}, left


def test_one_collector_works_at_a_time(config: Settings, store: Store) -> None:
    """A second process of the same state directory ends at once."""
    env = {**os.environ, "MODELSYNC_HOME": str(config.state.home)}
    command = [sys.executable, "-m", "modelsync.monitoring.collector"]
    spool(config.state.home, "1", sample(1))
    with subprocess.Popen(command, env=env) as first:
        until(lambda: figures.read(config.state.home), 30)
        assert subprocess.run(command, env=env, check=False).returncode == 0
        assert first.poll() is None
        first.terminate()
        assert first.wait(30) == 0


def test_store_that_is_away_loses_nothing(config: Settings, store: Store, home: Path) -> None:
    """Samples wait; afterwards each is there once."""
    from modelsync.errors import StoreUnavailable

    spool(home, "1", *(sample(number) for number in range(5)))
    database = home / "modelsync.db"
    away = home / "away.db"
    store.catalog.database.close()
    database.rename(away)
    database.mkdir()
    collector = Collector(config, store)
    with pytest.raises(StoreUnavailable):
        collector.step(0.0)
    database.rmdir()
    away.rename(database)
    collector.step(0.0)
    assert figures.read(home)["Price"].total == 5
    assert len(rows(home)) == 5


def test_names_of_clients_do_not_pass_for_ours(config: Settings, store: Store) -> None:
    """A variable that is named as a column of ours is not kept; any other name is."""
    odd = {"modelsync_version": [7], "a b/ü": [1], "": ["x"]}
    spool(config.state.home, "1", sample(1, columns=odd, result={"prediction": "yes"}))
    collect(config, store)
    (row,) = rows(config.state.home)
    assert (row[VERSION], row["a b/ü"], row[""], row[PREDICTION]) == (1, 1, "x", "yes")


def test_many_variables_do_not_crowd_out_the_prediction(config: Settings, store: Store) -> None:
    """Of 600 variables 500 have a column, and what was predicted has one all the same."""
    wide = {f"v{number}": [number] for number in range(600)}
    for batch in ("1", "2"):
        spool(config.state.home, batch, sample(1, columns=wide, result={"prediction": "yes"}))
        collect(config, store)
    found = rows(config.state.home)
    assert [row[PREDICTION] for row in found] == ["yes", "yes"]
    assert sum(name in found[1] for name in wide) == 500


def test_files_on_s3(config: Settings, store: Store, s3: Any) -> None:
    """MODELSYNC_SAMPLES names a bucket: the same files are there, and read after a restart."""
    from modelsync.settings.secret import Secret
    from modelsync.settings.training import StoreSettings
    from tests.fixtures.s3 import ACCESS_KEY, SECRET_KEY

    there = StoreSettings(
        s3_endpoint=s3.endpoint, s3_access_key=Secret(ACCESS_KEY), s3_secret_key=Secret(SECRET_KEY)
    )
    place = Continuous(samples=f"s3://{s3.make_bucket()}/samples")
    remote = replace(config, store=there, continuous=place)
    for number in range(2):
        lines = [sample(number * 60 + n) for n in range(60)]
        spool(config.state.home, str(number), *lines)
        found = collect(remote, store)
    assert (found.samples, found.total) == (120, 120)
    assert found.columns
    assert not (config.state.home / "samples" / "parquet").exists()
    kept = SampleFiles(remote).newest("Price", 1, 0.0, 1000)
    assert kept is not None
    assert kept.num_rows == 120
