"""The story of a fitting process: fit, write the artefact; then, as a new interpreter, load that
and try it; write the result.

The second half replaces the first one (execve(2)) under the same process id: nothing of the
object in memory is left, nor of the data, and no threads that a library has started. It ends with
its parent.
"""

from __future__ import annotations

import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from modelsync import json_text
from modelsync.files import write_atomically
from modelsync.fitting import failures, fitter, trial
from modelsync.fitting.messages import RESULT, FitJob, FitResult
from modelsync.fitting.reporter import ProgressReporter
from modelsync.models.isolation import fork_guard, patches
from modelsync.models.isolation.crash_report import CrashReport
from modelsync.models.serialization import from_json, to_json
from modelsync.observability import logs
from modelsync.orphans import end_with_parent

VERIFY = "verify"

MADE = "made.json"
"""The file in the output folder for what the first half has made."""

_exit = os._exit  # without the crash report, which replaces it


@dataclass(frozen=True, slots=True)
class _Logs:
    format: str
    level: str


def main(file: Path, *, verify: bool) -> NoReturn:
    """Run the job in a file; at the end its output folder holds the result."""
    environ = dict(os.environ)
    job = FitJob.from_json(json_text.loads(file.read_bytes()))
    end_with_parent(signal.SIGKILL, job.parent)
    if verify:
        job = replace(job, batches=-1)  # the first half has read and closed it
    reporter = ProgressReporter(job.progress, job.output)
    _prepare(job)
    if verify:
        made = from_json(FitResult, json_text.loads((job.output / MADE).read_bytes()))
        result = _guarded(lambda: trial.run(job, made, reporter), job, reporter)
    else:
        result = _guarded(lambda: fitter.run(job, reporter), job, reporter)
        if result.error is None and job.kind != "fill":
            _write(job.output / MADE, result)
            _replace(job, environ)
    _write(job.output / RESULT, result)
    _flush()
    _exit(0)  # threads of the model may never end


def _prepare(job: FitJob) -> None:
    """Set what must be set before a model's code runs: log, limits, crash report, patches."""
    for number in (job.progress, job.crash, job.batches):
        with suppress(OSError):
            os.set_inheritable(number, False)  # to what the model starts
    logs.configure(_Logs(job.log_format, job.log_level))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if job.memory is not None:
        resource.setrlimit(resource.RLIMIT_DATA, (job.memory, job.memory))
    patches.install()
    fork_guard.withhold([number for number in (job.progress, job.batches) if number >= 0])
    if job.crash >= 0:
        with suppress(OSError):
            CrashReport(open(job.crash, "w+b", buffering=0)).listen()  # noqa: PTH123, SIM115


def _guarded(step: Callable[[], FitResult], job: FitJob, reporter: ProgressReporter) -> FitResult:
    """Run a half of the job; whatever a model's code raises is its failure."""
    try:
        return step()
    except BaseException as error:  # noqa: BLE001  model code: SystemExit, KeyboardInterrupt too
        failed = failures.of(error, reporter.current, job.spec)
        failures.log(error, failed, job.spec)
        return FitResult(error=failed)
    finally:
        fork_guard.end_if_forked()  # a process that the model has forked returns to here


def _write(path: Path, result: FitResult) -> None:
    gc.collect()
    write_atomically(path, json_text.dumps(to_json(result)))


def _replace(job: FitJob, environ: Mapping[str, str]) -> NoReturn:
    """Become a new interpreter that runs the second half: same process, descriptors and limits."""
    _flush()
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)  # it would outlive its handler, and end the process
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in (job.progress, job.crash):
        with suppress(OSError):  # the model may have closed it, or there is none
            os.set_inheritable(number, True)
    os.chdir(job.output)
    os.execve(sys.executable, [*sys.orig_argv, VERIFY], environ)  # noqa: S606


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
