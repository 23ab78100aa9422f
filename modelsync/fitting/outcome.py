"""What has become of a fitting process, as the process that started it sees it."""

from __future__ import annotations

import signal

from modelsync import json_text
from modelsync.errors.training import JobStage
from modelsync.fitting.messages import RESULT, STAGE, FitError, FitJob, FitResult
from modelsync.models import diagnosis
from modelsync.models.serialization import from_json

_DOING = {
    "load": "while the model was loaded",
    "data": "while its data was read",
    "fit": "while the model was fitted",
    "serialise": "while the fitted model was written",
    "verify": "while the stored model was loaded and tried",
}


def of(job: FitJob, returncode: int, crash_report: str = "") -> FitResult:
    """Return the result of a process that has ended with this code (negative: by a signal).

    Without one the error says how it ended, what it did, and where in the model's code.
    """
    try:
        return from_json(FitResult, json_text.loads((job.output / RESULT).read_bytes()))
    except (OSError, ValueError, TypeError):
        return FitResult(error=_lost(job, returncode, crash_report))


def _lost(job: FitJob, returncode: int, crash_report: str) -> FitError:
    how = _how(returncode)
    file, line = _place(job, crash_report)
    at = f" in {file}:{line}" if file else ""
    doing = _doing(job)
    said = f"the process ended by itself{at} {doing}: {how}"
    stage: JobStage = "crash"
    if returncode in (-signal.SIGABRT, -signal.SIGKILL):
        limit = f" (a job may allocate {job.memory >> 20} MB)" if job.memory else ""
        said += f"; perhaps memory ran out{limit}"
    return FitError(stage, how.partition(" ")[0] if returncode < 0 else "", said, file, line)


def _how(returncode: int) -> str:
    if returncode >= 0:
        return f"exit code {returncode} without a result, as os._exit does"
    names = {int(one): one.name for one in signal.Signals}  # real-time signals have none
    return names.get(-returncode, f"signal {-returncode}")


def _doing(job: FitJob) -> str:
    try:
        return _DOING.get((job.output / STAGE).read_text(), "")
    except OSError:
        return "while it started"


def _place(job: FitJob, report: str) -> tuple[str | None, int | None]:
    """Return the innermost line of the model's folder in the stack of the thread that crashed."""
    stack = report.partition("Current thread")[2].partition("\n\n")[0]
    return diagnosis.crash_place(stack, job.spec)
