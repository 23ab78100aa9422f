"""Every error modelsync raises on purpose: one tree, no third-party imports, no status codes.

`modelsync/problems.py` maps the request errors to HTTP, `modelsync/cli/command.py` maps the others
to exit codes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class ModelsyncError(Exception):
    """Base of all expected failures: `str()` is one line that a user can act on and that holds no
    secret.
    """

    reason: ClassVar[str] = "error"


class SettingsError(ModelsyncError):
    """A setting is missing, unknown or malformed; the process ends with exit code 2."""

    reason = "settings"


# --- following the source -------------------------------------------------------------------------


class SyncError(ModelsyncError):
    """A sync did not bring a new release; the last good one goes on.

    `reason` is the label of `modelsync_sync_failures_total`. Retries make sense only where
    `transient` is true.
    """

    reason = "sync"
    transient: ClassVar[bool] = False


class RemoteUnreachable(SyncError):
    """DNS, connect, reset, or a server error of the remote."""

    reason = "unreachable"
    transient = True


class SyncTimeout(SyncError):
    """The whole-sync deadline passed."""

    reason = "timeout"


class AuthFailed(SyncError):
    """The remote refused the credentials (401, 403, SSH key)."""

    reason = "auth"


class UntrustedRemote(SyncError):
    """TLS verification failed or the SSH host key is unknown or changed."""

    reason = "untrusted"


class RefNotFound(SyncError):
    """The branch, tag or commit does not exist (also an empty repository)."""

    reason = "ref"


class MirrorCorrupt(SyncError):
    """The local mirror is damaged; it is rebuilt once before this is raised."""

    reason = "corrupt"


class StorageFailed(SyncError):
    """The state directory is full or read-only."""

    reason = "storage"


class NoModels(SyncError):
    """The commit holds no model folder at all, so it is not published."""

    reason = "no_models"


class ReleaseRejected(SyncError):
    """A model of the commit is broken and the policy is `reject`, or its generation did not become
    ready.
    """

    reason = "rejected"


class ProbationFailed(SyncError):
    """A model that was good when `modelsync rollout` checked the commit is broken in this pod."""

    reason = "trial"


class UpdateDied(SyncError):
    """The process of the update did not start or did not end by itself: killed, out of memory, or a
    bug of ours.
    """

    reason = "died"


class ReleaseUnreadable(ModelsyncError):
    """A release on disk is missing, damaged, or written by another version of modelsync."""

    reason = "release"


# --- the cluster ----------------------------------------------------------------------------------


class ClusterUnreachable(ModelsyncError):
    """The API server did not answer, or not with sense, until it was too late; what was asked may
    have been done.
    """

    reason = "cluster"


class Conflict(ModelsyncError):
    """Somebody else has changed the object since it was read; look again, and decide again."""

    reason = "conflict"


# --- a model --------------------------------------------------------------------------------------


class ModelBroken(ModelsyncError):
    """A model folder cannot be loaded. `fault` tells where and why."""

    reason = "model"

    def __init__(self, fault: object) -> None:
        super().__init__(str(fault))
        self.fault = fault


# --- a request ------------------------------------------------------------------------------------


class RequestError(ModelsyncError):
    """One request cannot be answered as asked; other requests are unaffected."""

    reason = "request"


class MalformedBody(RequestError):
    """The body is not the JSON object that the route takes. `position`: byte or character offset,
    where known.
    """

    reason = "malformed"

    def __init__(self, detail: str, position: int | None = None) -> None:
        super().__init__(detail)
        self.position = position


class UnsupportedBody(RequestError):
    """The content type or content encoding is not JSON."""

    reason = "media_type"


class BodyTooLarge(RequestError):
    """The body is over `MODELSYNC_MAX_BODY` bytes."""

    reason = "body_too_large"


@dataclass(frozen=True, slots=True)
class InvalidField:
    """One field of `variables` that does not fit the model's signature."""

    field: str
    message: str


class VariablesInvalid(RequestError):
    """`variables` does not fit the model's signature; `fields` names each one that does not."""

    reason = "invalid"

    def __init__(self, fields: Sequence[InvalidField]) -> None:
        super().__init__("; ".join(f"{f.field}: {f.message}" for f in fields))
        self.fields = tuple(fields)


class UnknownModel(RequestError):
    """No model of that name; `near` holds names that look like it."""

    reason = "unknown_model"

    def __init__(self, name: str, near: Sequence[str] = ()) -> None:
        hint = f" Did you mean {', '.join(near)}?" if near else ""
        super().__init__(f"There is no model {name!r}.{hint}")
        self.name = name
        self.near = tuple(near)


class ModelRaised(RequestError):
    """The model's code raised, exited or returned what cannot be served. `kind` is the exception's
    type name.
    """

    reason = "model_error"

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}" if message else kind)
        self.kind = kind


class ModelUnavailable(RequestError):
    """The model is listed but not loaded, or switched off. `retry_after` in seconds, where waiting
    can help.
    """

    reason = "unavailable"

    def __init__(self, detail: str, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Overloaded(RequestError):
    """The queue of waiting predictions is full. `retry_after` in seconds."""

    reason = "overloaded"

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class DeadlineExceeded(RequestError):
    """The model did not answer within its deadline."""

    reason = "timeout"


class Unauthenticated(RequestError):
    """No token, or one that nobody has."""

    reason = "unauthenticated"


class Forbidden(RequestError):
    """The token lacks the scope, or no token of that scope has been set."""

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
"""Every kind of request error: each is counted by its `reason` and has a status in `problems`."""
