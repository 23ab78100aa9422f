"""Why a step of a training run has failed: one line, for the log, the run's row and the command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelsync.data import reports
from modelsync.errors import ModelsyncError
from modelsync.models.data_schema import CheckReport
from modelsync.models.serialization import to_json
from modelsync.observability.redaction import redacted


class StepFailed(ModelsyncError):
    """A step has failed. `kind`: the type of the error; `facts`: what its row keeps besides."""

    reason = "training_run"

    def __init__(self, kind: str, message: str, **facts: Any) -> None:
        super().__init__(redacted(" ".join(message.split())))
        self.kind = kind
        self.facts = facts

    @classmethod
    def of_report(cls, report: CheckReport) -> StepFailed:
        """Return the failure of data that breaks its rules."""
        return cls("DataRefused", reports.summary(report), report=plain(report))


def plain(report: CheckReport) -> dict[str, Any]:
    """Return a report as a row keeps it: JSON, with whether it has passed."""
    return {**to_json(report), "passed": report.passed}


def error_of(step: str, error: Exception) -> Mapping[str, Any]:
    """Return the error as the row of a run keeps it."""
    if isinstance(error, StepFailed):
        return {"step": step, "kind": error.kind, "message": str(error), **error.facts}
    return {"step": step, "kind": type(error).__name__, "message": redacted(str(error))}
