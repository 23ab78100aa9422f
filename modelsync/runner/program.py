"""The story of a runner process: prepare it, load its models and report each, serve until the end.

Its main thread has no event loop: it calls the models, as a script would. It ends with a signal, or
with its parent.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, Any

from modelsync import json_text
from modelsync.errors import ModelBroken
from modelsync.inference.pulse import Pulse
from modelsync.inference.runners import InProcessRunner
from modelsync.models.isolation import fork_guard, patches
from modelsync.models.isolation.crash_report import CrashReport
from modelsync.models.serialization import to_json
from modelsync.models.types import Fault
from modelsync.observability import logs
from modelsync.orphans import end_with_parent
from modelsync.runner.job import Model, RunnerJob
from modelsync.runner.server import RunnerServer

_exit = os._exit  # without the crash report, which replaces it


@dataclass(frozen=True, slots=True)
class _Logs:
    format: str
    level: str


def main(fd: int) -> None:
    """Run the job that the file with this descriptor holds; does not return."""
    with open(fd, "rb") as file:
        file.seek(0)
        job = RunnerJob.from_json(json_text.loads(file.read()))
    end_with_parent(signal.SIGKILL, job.parent)
    _prepare(job)
    pulse = Pulse(job.pulse)
    with open(job.report, "wb", buffering=0) as report:  # noqa: PTH123
        loaded = [_load(model, report) for model in job.models]
    with socket.socket(fileno=job.listen) as listener:
        RunnerServer(job, loaded, listener, pulse).run()
    sys.stdout.flush()
    sys.stderr.flush()
    _exit(0)  # threads of models may hang for ever


def _prepare(job: RunnerJob) -> None:
    """Set what must be set before a model's code runs: log, limits, crash report, patches."""
    logs.configure(_Logs(job.log_format, job.log_level))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if job.memory is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (job.memory, job.memory))
    patches.install()
    fork_guard.withhold([job.report], [job.listen])
    CrashReport(open(job.crash, "w+b", buffering=0)).listen()  # noqa: PTH123, SIM115


def _load(model: Model, report: IO[bytes]) -> InProcessRunner | Fault:
    """Load one model, call it once, and report what it is or why it does not load."""
    found = _loaded(model)
    about = {"fault": to_json(found)} if isinstance(found, Fault) else _description(found)
    with suppress(BrokenPipeError):  # only the reports of the first start are read
        report.write(json_text.dump_lossy({"model": model.spec.name, **about}) + b"\n")
    return found


def _loaded(model: Model) -> InProcessRunner | Fault:
    if model.skip:
        return Fault("load", model.skip)
    try:
        runner = InProcessRunner.load(model.spec)
    except ModelBroken as error:
        return error.fault if isinstance(error.fault, Fault) else Fault("load", str(error))
    runner.model.call_seconds = model.call_seconds
    return runner


def _description(runner: InProcessRunner) -> dict[str, Any]:
    model = runner.model
    return {
        "schema": model.schema,
        "doc": model.doc,
        "is_async": model.is_async,
        "batches": model.call_batch is not None,
    }
