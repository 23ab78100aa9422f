"""Data larger than memory: batch after batch to `update`, exactly once, also after a kill."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pyarrow as pa
import pytest
from pyarrow import parquet

from modelsync.data import record_batches
from modelsync.data.sources import DataSource, examine
from modelsync.fitting import checkpoint
from modelsync.fitting.messages import END
from modelsync.models.types import ModelSpec
from modelsync.settings import load
from tests.fitting.running import Ran, fit, started, write_folder
from tests.waiting import until

ROWS = 4000

COUNTER = """
class Model:
    def fit(self, x, y, **params):
        return {"n": x["n"].tolist(), "y": y.tolist(), "batches": [len(x)]}
    def update(self, x, y):
        self.model["n"] += x["n"].tolist()
        self.model["y"] += y.tolist()
        self.model["batches"].append(len(x))
        return self.model
    def predict(self, x):
        return [len(self.model["n"])] * len(x)
"""


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_batches, "BATCH_BYTES", 8_000)  # 250 rows


@pytest.fixture
def source(tmp_path: Path) -> DataSource:
    """Rows numbered from 0, in four files."""
    folder = tmp_path / "data"
    folder.mkdir()
    for start in range(0, ROWS, 1000):
        numbers = list(range(start, start + 1000))
        made = pa.table({"n": numbers, "half": [n / 2 for n in numbers], "y": numbers})
        parquet.write_table(made, folder / f"{start:05}.parquet", row_group_size=300)
    return examine("*.parquet", "y", folder=folder, settings=load({}))


def model(tmp_path: Path, code: str = COUNTER) -> ModelSpec:
    return write_folder(tmp_path / "models", "Model", code)


def stored(ran: Ran) -> dict[str, Any]:
    found: dict[str, Any] = cloudpickle.loads((ran.output / ran.made.file).read_bytes())
    return found


def test_update_gets_each_batch_once(tmp_path: Path, source: DataSource) -> None:
    ran = fit(model(tmp_path), tmp_path / "out", source=source)
    state = stored(ran)
    assert state["n"] == state["y"] == list(range(ROWS))
    assert len(state["batches"]) >= 16
    assert max(state["batches"]) <= 400
    assert ran.made.rows == ROWS
    assert ran.made.inputs is not None
    assert [one.name for one in ran.made.inputs.columns] == ["n", "half"]
    assert not [one for one in ran.lines if one.checkpoint]
    assert (ran.lines[-1].rows, ran.lines[-1].progress) == (ROWS, 1.0)


def test_a_model_with_fit_alone_gets_all_rows_at_once(tmp_path: Path, source: DataSource) -> None:
    code = COUNTER[: COUNTER.index("    def update")] + COUNTER[COUNTER.index("    def predict") :]
    assert stored(fit(model(tmp_path, code), tmp_path / "out", source=source))["batches"] == [ROWS]


def test_too_many_rows_for_fit_alone_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    made = pa.table({"n": list(range(6_000_000)), "y": list(range(6_000_000))})
    parquet.write_table(made, folder / "a.parquet")
    record_batches.BATCH_BYTES = 1 << 24
    large = examine("*", "y", folder=folder, settings=load({}))
    code = COUNTER[: COUNTER.index("    def update")]
    error = fit(model(tmp_path, code), tmp_path / "out", source=large, memory=250 << 20).error
    assert error.stage == "data"
    assert "update(self, x, y)" in error.message


# --- kills ----------------------------------------------------------------------------------------


class Killed:
    """A job that is killed again and again, and the checkpoints that its parent has stored."""

    def __init__(self, spec: ModelSpec, source: DataSource, folder: Path, **further: Any) -> None:
        self.spec, self.source, self.folder = spec, source, folder
        self.further = further
        self.attempts = 0
        self.kept: Path | None = None
        self.positions: list[int] = []

    def attempt(self) -> Iterator[Any]:
        """Start the next attempt, from the last checkpoint."""
        self.attempts += 1
        skip = 0
        if self.kept:
            digest, skip = checkpoint.position(self.kept)
            assert digest == self.source.digest
            self.positions.append(skip)
        output = self.folder / f"out-{self.attempts}"
        with started(
            self.spec, output, source=self.source, skip=skip, checkpoint=self.kept,
            checkpoint_seconds=0.0, **self.further,
        ) as run:  # fmt: skip
            yield run

    def keep(self, file: Path) -> None:
        """Store a checkpoint, as a job does: it is away from the output folder afterwards."""
        self.kept = file.rename(self.folder / f"kept-{file.name}")


def test_a_killed_job_goes_on_from_its_last_checkpoint(tmp_path: Path, source: DataSource) -> None:
    """Each attempt is killed as soon as its first checkpoint is stored; the last one may end."""
    job = Killed(model(tmp_path), source, tmp_path)
    for _ in range(3):
        for run in job.attempt():
            file = until(run.checkpoint)
            os.kill(run.process.pid, signal.SIGKILL)
            run.process.wait()
            job.keep(Path(file))
    assert job.kept
    for run in job.attempt():
        done = run.ended()
    assert job.positions == sorted(set(job.positions))
    state = stored(done)
    assert state["n"] == state["y"] == list(range(ROWS))
    assert done.made.rows == ROWS


def test_rows_that_are_held_out_stay_so_when_a_killed_job_goes_on(
    tmp_path: Path, source: DataSource
) -> None:
    """Each row is fitted or held out, once; both versions are evaluated with all that are."""
    code = COUNTER + "    def metrics(self, x, y):\n        return {'rows': x['n'].tolist()}\n"
    job = Killed(model(tmp_path, code), source, tmp_path, planned=True, test_size=0.2)
    for _ in range(2):
        for run in job.attempt():
            file = until(run.checkpoint)
            os.kill(run.process.pid, signal.SIGKILL)
            run.process.wait()
            job.keep(Path(file))
    for run in job.attempt():
        done = run.ended()
    fitted, held = stored(done)["n"], done.made.metrics["rows"]
    assert sorted(fitted + held) == list(range(ROWS))
    assert 600 < len(held) < 1000
    assert done.made.rows == len(fitted)
    assert done.made.comparison
    assert done.made.comparison["rows"] == len(held)


@pytest.mark.parametrize("at", ["fit", "serialise", "verify"])
def test_a_kill_at_any_step_loses_and_repeats_nothing(
    tmp_path: Path, source: DataSource, at: str
) -> None:
    """It is killed in that stage, after its first checkpoint; the next attempt ends."""
    code = (
        COUNTER.replace("class Model:", "import time\nfrom pathlib import Path\nclass Model:")
        + f"""
    def __getstate__(self): return {{}}
    def start(self):
        if {at!r} == "verify" and len((self.__dict__.get("model") or {{}}).get("n", [])) == {ROWS}:
            self.wait()
    def metrics(self, x, y):
        if {at!r} != "verify" and len(self.model["n"]) > 2000:
            self.wait()
        return {{}}
    def wait(self):
        flag = Path({str(tmp_path)!r}) / "waited"
        while not (flag.parent / "go").exists():
            flag.touch()
            time.sleep(0.01)
"""
    )
    job = Killed(model(tmp_path, code), source, tmp_path)
    for run in job.attempt():
        until(lambda: (tmp_path / "waited").exists())
        run.process.kill()
        run.process.wait()
        job.keep(next(run.job.output.glob("checkpoint-*")))
    (tmp_path / "go").touch()
    for run in job.attempt():
        done = run.ended()
    assert stored(done)["n"] == list(range(ROWS))
    assert 0 < job.positions[0] < ROWS


def test_a_checkpoint_after_the_last_row_ends_the_job(tmp_path: Path, source: DataSource) -> None:
    spec = model(tmp_path)
    job = Killed(spec, source, tmp_path)
    for run in job.attempt():
        ran = run.ended()
    whole = list(range(ROWS))
    assert stored(ran)["n"] == whole
    state = checkpoint.read(next(ran.output.glob("checkpoint-*")))
    file = tmp_path / "last"
    last = checkpoint.CheckpointState(source.digest, ROWS, ran.made, state.sample)
    checkpoint.write(file, last, ran.output / ran.made.file)
    again = fit(spec, tmp_path / "again", source=source, skip=ROWS, checkpoint=file)
    assert stored(again)["n"] == whole
    assert again.made.rows == ROWS


# --- what goes wrong on the way -------------------------------------------------------------------


def test_a_stream_that_breaks_off_is_never_taken_for_the_whole(
    tmp_path: Path, source: DataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelsync.training.feed.END", END + b"-not")
    error = fit(model(tmp_path), tmp_path / "out", source=source).error
    assert error.stage == "data"
    assert "broke off" in error.message


def test_an_error_in_a_later_batch_is_that_of_the_model(tmp_path: Path, source: DataSource) -> None:
    code = COUNTER.replace(
        '        self.model["batches"]',
        '        assert x["n"].max() < 2000, "no"\n        self.model["batches"]',
    )
    error = fit(model(tmp_path, code), tmp_path / "out", source=source).error
    assert (error.stage, error.kind, error.message) == ("fit", "AssertionError", "no")


def test_scikit_learn_is_updated_with_all_rows(tmp_path: Path, source: DataSource) -> None:
    """Also in little memory: libraries reserve more than they use."""
    code = """
from sklearn.linear_model import SGDRegressor
class Model:
    def fit(self, x, y):
        return SGDRegressor().fit(x / 4000, y)
    def update(self, x, y):
        return self.model.partial_fit(x / 4000, y)
"""
    made = fit(model(tmp_path, code), tmp_path / "out", source=source, memory=600 << 20).made
    assert made.serializer == "joblib"
    assert made.rows == ROWS
