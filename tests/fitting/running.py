"""Runs the real program of a job, `python -m modelsync.fitting`, on real model folders."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelsync import bootstrap
from modelsync.data.sources import DataSource
from modelsync.fitting import outcome
from modelsync.fitting.messages import FitError, FitJob, FitResult, Progress
from modelsync.models.discovery.folders import discover
from modelsync.models.isolation.crash_report import CrashReport
from modelsync.models.serialization import from_json
from modelsync.models.types import ModelSpec
from modelsync.training.feed import Feed
from tests.waiting import patient

DATA = {"x": {"a": [1.0, 2.0, 3.0, 4.0], "b": [4.0, 3.0, 2.0, 1.0]}, "y": [0, 0, 1, 1]}


def write_folder(models: Path, name: str, code: str, **files: str) -> ModelSpec:
    """Write a model's folder; return what discovery says of it."""
    folder = models / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "etls.py").write_text(code)
    for file, text in files.items():
        place = folder / file.replace("__", "/").replace("_json", ".json").replace("_py", ".py")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    (spec,) = (one for one in discover(models) if one.name == name)
    assert spec.fault is None, spec.fault
    return spec


@dataclass
class Ran:
    """One run: its result, what the job's log would hold, and its progress."""

    result: FitResult
    output: Path
    log: str
    lines: list[Progress]

    @property
    def error(self) -> FitError:
        assert self.result.error is not None, (self.result, self.log)
        return self.result.error

    @property
    def made(self) -> FitResult:
        assert self.result.error is None, (self.result.error, self.log)
        return self.result


def fit(spec: ModelSpec, output: Path, body: Any = DATA, kind: str = "fit", **further: Any) -> Ran:
    """Run a job to its end."""
    with started(spec, output, body, kind, **further) as run:
        return run.ended()


class Run:
    """A running job, as the process that has started it sees it."""

    def __init__(
        self, job: FitJob, source: DataSource | None, skip: int, python: Path | None = None
    ) -> None:
        self.job = job
        self.crash = CrashReport()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        reading, writing = os.pipe()
        given, feeding = os.pipe()
        self.job = replace(
            job,
            parent=os.getpid(),
            progress=writing,
            crash=self.crash.fileno(),
            batches=given if source else -1,
        )
        file = job.output.parent / f"{job.output.name}.json"
        file.write_text(json.dumps(self.job.to_json()))
        self.process = subprocess.Popen(
            [*bootstrap.command(python, "modelsync.fitting"), str(file)],
            env=bootstrap.environment(python, os.environ),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            pass_fds=(writing, given, self.crash.fileno()),
            start_new_session=True,
        )
        os.close(writing)
        os.close(given)
        self.lines: list[Progress] = []
        self._reader = threading.Thread(target=self._read, args=(reading,), daemon=True)
        self._reader.start()
        self.feed = Feed(source, feeding, skip=skip) if source else None
        if self.feed:
            self.feed.start()
        else:
            os.close(feeding)

    def _read(self, reading: int) -> None:
        with os.fdopen(reading, "rb") as pipe:
            self.lines.extend(from_json(Progress, json.loads(line)) for line in pipe)

    def checkpoint(self) -> str:
        """The first checkpoint that it has told of; empty before."""
        return next((line.checkpoint for line in self.lines if line.checkpoint), "")

    def ended(self) -> Ran:
        """Wait for its end, and kill what it has left."""
        code = self.process.wait(patient(120))
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self._reader.join(patient(10))
        if self.feed:
            self.feed.join(patient(30))
        self._log.seek(0)
        log = self._log.read().decode()
        result = outcome.of(self.job, code, self.crash.read())
        return Ran(result, self.job.output, log, list(self.lines))


@contextmanager
def started(
    spec: ModelSpec,
    output: Path,
    body: Any = DATA,
    kind: str = "fit",
    *,
    source: DataSource | None = None,
    skip: int = 0,
    python: Path | None = None,
    **further: Any,
) -> Iterator[Run]:
    """A job that runs while the body does; `source` is its data in place of a body, `python` that
    of the model's environment.
    """
    output.mkdir(parents=True, exist_ok=True)
    if source is None and kind in ("fit", "update"):
        file = output.parent / f"{output.name}-body.json"
        file.write_text(body if isinstance(body, str) else json.dumps(body))
        further["input"] = file
    if source is not None:
        further = {"target": source.target, "rows": source.rows, **further}
        further.setdefault("source", source.digest if source.resumable else "")
    run = Run(FitJob(spec, kind, 0, output, **further), source, skip, python)  # type: ignore[arg-type]
    try:
        yield run
    finally:
        with suppress(ProcessLookupError):
            os.killpg(run.process.pid, signal.SIGKILL)
        run.process.wait()


def version_of(ran: Ran, spec: ModelSpec) -> Any:
    """What a run has made, as a version that can be loaded."""
    from modelsync.fitting import artefact

    job = FitJob(spec, "fit", 0, ran.output)
    return artefact.version(job, ran.made, ran.output / ran.made.file)
