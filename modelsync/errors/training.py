"""Errors of trained models: their versions, their jobs and the store."""

from __future__ import annotations

from typing import Any, Literal

from modelsync.errors.base import ModelsyncError
from modelsync.errors.requests import ModelUnavailable, RequestError

# --- predicting with a version --------------------------------------------------------------------


class NotFitted(RequestError):
    """The model has no fitted version yet; the message says how to fit one."""

    reason = "not_fitted"


class UnknownVersion(RequestError):
    """No version of the model has that number, key, name or label."""

    reason = "unknown_version"


class VersionRefused(RequestError):
    """A version cannot be used: made with other libraries, or its code has gone."""

    reason = "version_refused"


# --- fitting and versions -------------------------------------------------------------------------


class NotTrainable(RequestError):
    """The model lacks the method that a call needs; `allowed` are the HTTP methods that it has."""

    reason = "not_trainable"

    def __init__(self, detail: str, allowed: tuple[str, ...]) -> None:
        super().__init__(detail)
        self.allowed = allowed


class DataInvalid(RequestError):
    """Training data or parameters cannot be used: the message says what was expected, what came."""

    reason = "invalid_data"


class DataMissing(DataInvalid):
    """There is no file or object of that name."""


class VersionConflict(RequestError):
    """A version cannot be changed so: it is in use, or its name is that of another one."""

    reason = "conflict"


class UnknownJob(RequestError):
    """The model has no job of that id."""

    reason = "unknown_job"


class IdempotencyMismatch(RequestError):
    """The `Idempotency-Key` was used before, for another request."""

    reason = "idempotency"


class RequestInProgress(RequestError):
    """The first request with this `Idempotency-Key` has no answer yet; `retry_after` in seconds."""

    reason = "in_progress"

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class RunInProgress(RequestError):
    """Another process works on a training run of the model, or has taken this one over."""

    reason = "run_in_progress"


class UnknownRun(RequestError):
    """The model has no training run of that number."""

    reason = "unknown_run"


class JobsFull(RequestError):
    """So many jobs wait that no more are taken; `retry_after` is in seconds."""

    reason = "jobs_full"

    def __init__(self, detail: str, retry_after: int = 30) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


# --- the store ------------------------------------------------------------------------------------


class StoreUnavailable(ModelUnavailable):
    """The database or the object store does not answer; predictions go on from memory."""

    reason = "store"

    def __init__(self, detail: str, retry_after: int = 5) -> None:
        super().__init__(detail, retry_after)


class ArtifactCorrupt(ModelsyncError):
    """A stored artefact is missing, or is not what its SHA-256 says; it is never deserialised."""

    reason = "corrupt_artifact"


JobStage = Literal["data", "load", "fit", "serialise", "verify", "memory", "timeout", "crash"]
"""The step in which a job has failed.

`data`: reading it. `load`: the import of the model, its constructor, the version that is updated.
`fit`: its `fit`, `train`, `update`, `metrics` or `accept`. `serialise`: writing the artefact.
`verify`: the artefact, loaded again, does not predict as the fitted object did. `memory`,
`timeout`: it needed more than it may. `crash`: its process has ended by itself.
"""


class JobFailed(ModelsyncError):
    """A job has failed; `kind` is the type of the exception, `message` its text."""

    reason = "job"

    def __init__(self, stage: JobStage, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}" if kind else message)
        self.stage, self.kind, self.message = stage, kind, message


class DataRefused(JobFailed):
    """Data breaks the schema of its model; `report` is that of the check, as JSON."""

    def __init__(self, message: str, report: dict[str, Any]) -> None:
        super().__init__("data", "DataRefused", message)
        self.report = report
