"""Turns what has ended a job into the one error that its client reads."""

from __future__ import annotations

import logging
import re
import traceback

from modelsync.errors import DataInvalid, JobFailed, ModelBroken, RequestError
from modelsync.errors.training import JobStage
from modelsync.fitting.messages import FitError
from modelsync.models import diagnosis
from modelsync.models.types import Fault, ModelSpec

_log = logging.getLogger(__name__)

MAX_TRACE = 20_000
"""Characters of a traceback, the last ones, in the log."""

_KIND = re.compile(r"[A-Za-z_]\w*$")


def of(error: BaseException, stage: JobStage, spec: ModelSpec) -> FitError:
    """Describe an exception that was raised in a stage; file and line are those of the model."""
    match error:
        case MemoryError():
            fault = diagnosis.from_exception(error, spec, "load")
            needs = "it needs more memory than a job may allocate (MODELSYNC_JOB_MEMORY)"
            said = _without_kind(fault, error)
            message = f"{said}; {needs}" if said else needs
            return FitError("memory", type(error).__name__, message, fault.file, fault.line)
        case JobFailed():
            return FitError(error.stage, error.kind, diagnosis.plain(error.message, spec))
        case DataInvalid():
            return FitError("data", "DataInvalid", diagnosis.plain(str(error), spec))
        case ModelBroken(fault=Fault() as fault):
            kind, _, message = fault.message.partition(": ")
            if not message or not _KIND.match(kind):
                kind, message = type(error.__cause__ or error).__name__, fault.message
            return FitError(stage, kind, message, fault.file, fault.line, fault.hint)
        case RequestError():
            return FitError(stage, type(error).__name__, diagnosis.plain(str(error), spec))
    fault = diagnosis.from_exception(error, spec, "load")
    message = _without_kind(fault, error)
    return FitError(stage, type(error).__name__, message, fault.file, fault.line, fault.hint)


def _without_kind(fault: Fault, error: BaseException) -> str:
    kind = type(error).__name__
    return "" if fault.message == kind else fault.message.removeprefix(f"{kind}: ")


def log(error: BaseException, failed: FitError, spec: ModelSpec) -> None:
    """Write the failure to the job's log; with the traceback if it may be the model's."""
    trace = "" if isinstance(error, RequestError | JobFailed) else _traceback(error, spec)
    said = ": ".join(filter(None, (failed.stage, failed.kind, failed.message)))
    _log.error("%s", said, extra={"trace": trace} if trace else {})


def _traceback(error: BaseException, spec: ModelSpec) -> str:
    """Return the traceback without paths of this machine: whoever may train reads it."""
    try:
        text = "".join(traceback.format_exception(error))[-MAX_TRACE:]
        return diagnosis.relative_paths(text, spec)
    except Exception:  # noqa: BLE001  its own __str__ may raise
        return ""
