"""All errors that modelsync raises on purpose: one tree, no third-party imports, no status codes.

`modelsync/problems.py` maps request errors to HTTP, `modelsync/cli/command.py` maps the others to
exit codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class ModelsyncError(Exception):
    """Base of all expected errors.

    `str()` is one line that a user can act on and that holds no secret.
    """

    reason: ClassVar[str] = "error"


class SettingsError(ModelsyncError):
    """A setting is missing, unknown or malformed; the process exits with code 2."""

    reason = "settings"


# --- syncs ----------------------------------------------------------------------------------------


class SyncError(ModelsyncError):
    """A sync did not publish a new release; the last good one continues to serve.

    `reason` is the label of `modelsync_sync_failures_total`. A retry makes sense only if
    `transient` is true.
    """

    reason = "sync"
    transient: ClassVar[bool] = False


class RemoteUnreachable(SyncError):
    """The remote cannot be reached: DNS, connection, reset, or a server error of the remote."""

    reason = "unreachable"
    transient = True


class SyncTimeout(SyncError):
    """The deadline of the whole sync has passed."""

    reason = "timeout"


class AuthFailed(SyncError):
    """The remote has refused the credentials (401, 403, SSH key)."""

    reason = "auth"


class UntrustedRemote(SyncError):
    """TLS verification has failed, or the SSH host key is unknown or has changed."""

    reason = "untrusted"


class RefNotFound(SyncError):
    """The branch, tag or commit does not exist; an empty repository has none."""

    reason = "ref"


class MirrorCorrupt(SyncError):
    """The local mirror is damaged; a sync rebuilds it once before it raises this."""

    reason = "corrupt"


class StorageFailed(SyncError):
    """The state directory is full or read-only."""

    reason = "storage"


class NoModels(SyncError):
    """The commit has no model folder, so it is not published."""

    reason = "no_models"


class ReleaseRejected(SyncError):
    """A model is broken and the policy is `reject`, or the generation did not become ready."""

    reason = "rejected"


class ProbationFailed(SyncError):
    """A model that was good when `modelsync rollout` checked the commit is broken in this pod."""

    reason = "trial"


class UpdateDied(SyncError):
    """The update's process was killed, ran out of memory, or met a bug of modelsync."""

    reason = "died"


class CheckFailed(SyncError):
    """The policy is `reject`, and a model is broken for a reason that may pass: checked again."""

    reason = "check"


class GenerationFailed(SyncError):
    """The new release's processes were killed, or late, while they started: started again."""

    reason = "not_ready"


class ResourcesExhausted(SyncError):
    """The machine has no process, thread, descriptor or memory left for the sync."""

    reason = "resources"


class ReleaseUnreadable(ModelsyncError):
    """A release on disk is missing, damaged, or written by another version of modelsync."""

    reason = "release"


# --- the cluster ----------------------------------------------------------------------------------


class ClusterUnreachable(ModelsyncError):
    """The API server did not answer, or answered wrongly; the change may have been made."""

    reason = "cluster"


class Conflict(ModelsyncError):
    """The object has changed since it was read: read it again, and decide again."""

    reason = "conflict"


# --- a model --------------------------------------------------------------------------------------


class ModelBroken(ModelsyncError):
    """A model folder cannot be loaded; `fault` holds the place and the reason."""

    reason = "model"

    def __init__(self, fault: object) -> None:
        super().__init__(str(fault))
        self.fault = fault


# --- a request ------------------------------------------------------------------------------------


class RequestError(ModelsyncError):
    """One request has failed; other requests are unaffected."""

    reason = "request"


class MalformedBody(RequestError):
    """The body is not the JSON object that the route expects.

    `position` is the offset of the error in bytes or characters, None if unknown.
    """

    reason = "malformed"

    def __init__(self, detail: str, position: int | None = None) -> None:
        super().__init__(detail)
        self.position = position


class UnsupportedBody(RequestError):
    """The content type or content encoding is not JSON."""

    reason = "media_type"


class BodyTooLarge(RequestError):
    """The body is larger than `MODELSYNC_MAX_BODY` bytes."""

    reason = "body_too_large"


@dataclass(frozen=True, slots=True)
class InvalidField:
    """One field of `variables` that does not fit the model's signature."""

    field: str
    message: str


class VariablesInvalid(RequestError):
    """`variables` does not fit the model's signature; `fields` holds each invalid field."""

    reason = "invalid"

    def __init__(self, fields: Sequence[InvalidField]) -> None:
        super().__init__("; ".join(f"{f.field}: {f.message}" for f in fields))
        self.fields = tuple(fields)


class UnknownModel(RequestError):
    """No model has that name; `near` holds similar names."""

    reason = "unknown_model"

    def __init__(self, name: str, near: Sequence[str] = ()) -> None:
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        super().__init__(f"There is no model {name!r}.{hint}")
        self.name = name
        self.near = tuple(near)


class ModelRaised(RequestError):
    """The model's code has raised an exception, has exited, or its result cannot be encoded.

    `kind` is the name of the exception's type.
    """

    reason = "model_error"

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}" if message else kind)
        self.kind = kind


class ModelUnavailable(RequestError):
    """The model is listed but not loaded, or its circuit is open.

    `retry_after` is in seconds, None if waiting does not help.
    """

    reason = "unavailable"

    def __init__(self, detail: str, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class RunnerDied(ModelUnavailable):
    """The process in which the model runs has ended before it answered; it is started again."""

    reason = "lost"


class Overloaded(RequestError):
    """The queue of waiting predictions is full; `retry_after` is in seconds."""

    reason = "overloaded"

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class DeadlineExceeded(RequestError):
    """The model has not answered within its deadline."""

    reason = "timeout"


class Unauthenticated(RequestError):
    """The request has no token, or an unknown one."""

    reason = "unauthenticated"


class Forbidden(RequestError):
    """The token lacks the scope, or no token of the scope is set."""

    reason = "forbidden"


REQUEST_ERRORS: tuple[type[RequestError], ...] = (
    MalformedBody,
    UnsupportedBody,
    BodyTooLarge,
    VariablesInvalid,
    UnknownModel,
    ModelRaised,
    ModelUnavailable,
    Overloaded,
    DeadlineExceeded,
    Unauthenticated,
    Forbidden,
)
"""All kinds of request errors: each is counted by its `reason` and has a status in `problems`."""
