"""Errors of one request; `problems` has their status codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelsync.errors.base import ModelsyncError


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


class RequestRejected(RequestError):
    """The model has rejected the request: it has raised an exception with this status of HTTP, from
    400 to 499. That is the fault of the client.

    `detail` is the message of the exception, `kind` the name of its type. `row`: the one of several
    that is rejected, from 0.
    """

    COUNTED = (
        400, 401, 402, 403, 404, 405, 406, 408, 409, 410, 412, 413, 415, 422, 423, 424, 428, 429,
        451,
    )  # fmt: skip
    """Statuses that are counted by themselves; the others are counted together."""

    reason = "rejected"

    def __init__(self, status: int, detail: str = "", kind: str = "Exception") -> None:
        super().__init__(detail or kind)
        self.status = status
        self.kind = kind
        self.row: int | None = None

    @property
    def counted_as(self) -> str:
        """The reason under which it is counted: that of its status, or else `reason`."""
        return rejected_as(self.status) if self.status in self.COUNTED else self.reason


def rejected_as(status: int) -> str:
    """Return the reason under which rejections with this status are counted."""
    return f"{RequestRejected.reason}_{status}"


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
