"""The story of a runner process: prepare it, load its models and report each, serve until the end.

Its main thread has no event loop: it calls the models, as a script would. It ends with a signal, or
with its parent.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from modelsync import json_text
from modelsync.errors import ModelBroken
from modelsync.inference.load_attempts import LoadAttempts
from modelsync.inference.pulse import Pulse
from modelsync.inference.runners import InProcessRunner
from modelsync.inference.version_loading import LoadTerms, load_first
from modelsync.models.isolation import fork_guard, patches
from modelsync.models.isolation.crash_report import CrashReport
from modelsync.models.types import Fault
from modelsync.models.versions import FittedVersion
from modelsync.observability import logs
from modelsync.orphans import end_with_parent
from modelsync.runner.job import Model, RunnerJob
from modelsync.runner.reports import Reports
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
    for number in (job.listen, job.report, job.pulse, job.crash):
        os.set_inheritable(number, False)  # to what a model starts
    _prepare(job)
    with open(job.report, "wb", buffering=0) as pipe:  # noqa: PTH123
        reports = Reports(pipe)
        terms = LoadTerms(job.mismatch, LoadAttempts(Path(job.attempts) if job.attempts else None))
        alone = len(job.models) == 1
        loaded = [_load(model, reports, terms, alone=alone) for model in job.models]
        patches.install()  # again, for what the models have imported
        server = RunnerServer(job, loaded, Pulse(job.pulse))
        server.warm_up(reports)
    if job.again and not server.serves_some():
        _exit(1)  # tried again, with back-off: what has loaded before may load later
    gc.collect()
    gc.freeze()
    server.run()
    server.stop()
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
    fork_guard.withhold(listeners=[job.listen])
    CrashReport(open(job.crash, "w+b", buffering=0)).listen()  # noqa: PTH123, SIM115


def _load(
    model: Model, reports: Reports, terms: LoadTerms, *, alone: bool
) -> InProcessRunner | Fault:
    """Load a model; `alone` it may change what the process shares."""
    reports.loading(str(model.spec.name))
    if model.skip:
        return Fault("load", model.skip)

    def load(version: FittedVersion | None) -> InProcessRunner:
        return InProcessRunner.load(
            model.spec, model.placement, alone=alone, fitted=version, terms=terms
        )

    try:
        runner = load_first(model.spec, model.versions, load)
    except ModelBroken as error:
        return error.fault if isinstance(error.fault, Fault) else Fault("load", str(error))
    runner.hide_loop = False  # there is none in the main thread
    fitted = runner.model.fitted
    runner.model.call_seconds = (fitted and fitted.call_seconds) or model.call_seconds
    return runner
