"""Tells exceptions with which a model rejects a request from those with which it fails.

An exception rejects the request if its `status_code`, or else its `status` or `code`, is a status
code of HTTP from 400 to 499 (RFC 9110 section 15.5), as those of Werkzeug, Starlette, FastAPI and
aiohttp have: the model needs no import for it. One that a client of HTTP raises for the answer of
another server has failed: the service's own client is not to blame.
"""

from __future__ import annotations

from contextlib import suppress

from modelsync.errors import RequestError, RequestRejected
from modelsync.observability import tracebacks
from modelsync.observability.tracebacks import MESSAGE

NAMES = ("status_code", "status", "code")
"""Attributes that may hold the status code; the first one that is a number decides."""

CLIENT_ERRORS = range(400, 500)

_CLIENTS = ("hdrs", "request_info")
"""Attributes of errors of clients of HTTP: of urllib, of aiohttp."""

_ANSWERS = ("response", "meta")
"""Attributes in which others keep the answer that they have got: requests, httpx and what is made
with it; elasticsearch.
"""

_DETAILS = ("detail", "description")
"""Attributes in which exceptions of frameworks keep the message: Starlette's, Werkzeug's."""

MAX_KIND = 1000
"""Characters of the name of an exception's type."""


def of(error: BaseException) -> RequestRejected | None:
    """Return the rejection that an exception is, with the exception as its cause; else None.

    It has no detail yet: to make the message of an exception takes as long as the model likes.
    Attributes may be the model's code, so this is called where the model is, within its deadline.
    """
    kind = type(error)
    if not issubclass(kind, Exception) or issubclass(kind, RequestError):
        return None
    try:
        status = _status(error)
        name = str(kind.__name__)[:MAX_KIND]
    except Exception:  # noqa: BLE001  a property, or `__getattr__`, of the model's own
        return None
    if status not in CLIENT_ERRORS:
        return None
    rejected = RequestRejected(status, kind=name)
    rejected.__cause__ = error
    return rejected


def or_error(error: BaseException) -> BaseException:
    """Return the rejection that an exception is, else the exception."""
    return of(error) or error


def message_of(error: BaseException) -> str:
    """Return what a client is told: the `detail` or `description` of the exceptions of frameworks,
    else the message. Bounded as `tracebacks.message_of`; may take as long as the model likes.
    """
    with suppress(BaseException):  # properties of the model's own
        found = [getattr(error, name, None) for name in _DETAILS]
        if said := next((one for one in found if type(one) is str and one), ""):
            return said[:MESSAGE]
    if len(error.args) == 1 and type(error.args[0]) is str and _is_plain(type(error)):
        return error.args[0][:MESSAGE]  # `KeyError` shows a text in quotes
    return tracebacks.message_of(error)


def _is_plain(kind: type[BaseException]) -> bool:
    return kind.__str__ in (BaseException.__str__, KeyError.__str__)


def _status(error: BaseException) -> int:
    """Return the status code that an exception carries, 0 if it has none of its own."""
    for name in NAMES:
        found = getattr(error, name, None)
        if isinstance(found, int) and not isinstance(found, bool):
            return 0 if _has_answer(error) else int(found)
    return 0


def _has_answer(error: BaseException) -> bool:
    """Return whether it tells of another server's answer; in a server's own that is None."""
    answers = (getattr(error, name, None) for name in _ANSWERS)
    return any(hasattr(error, name) for name in _CLIENTS) or any(
        hasattr(answer, name) for answer in answers for name in NAMES
    )
