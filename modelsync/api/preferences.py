"""What a client prefers (RFC 7240): to wait for a result, and for how long; answers that wait."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from flask import Response, request

from modelsync.problems import Answer, Headers
from modelsync.server.wsgi_call import MAY_PAUSE

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

MAX_WAIT = 300.0
"""Seconds for which a request may wait at most; a client asks again."""

PAUSE = 0.2
"""Seconds between two looks under another server than ours."""

_WAIT = re.compile(r'(?:^|,)\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:;[^,]*)?(?=,|$)', re.IGNORECASE)

_ASYNC = re.compile(r"(?:^|,)\s*respond-async\s*(?:;[^,]*)?(?=,|$)", re.IGNORECASE)


def preferred_wait() -> float | None:
    """Seconds for which the current request is going to wait, as its client prefers; None if it
    does not say, or if so many requests wait that this one cannot.

    The first of several values counts (section 2).
    """
    found = _WAIT.search(",".join(request.headers.getlist("Prefer")))
    return min(float(found[1]), MAX_WAIT) if found and may_wait() else None


def may_wait() -> bool:
    """Whether the current request may wait: only so many do at a time."""
    allowed: bool = request.environ.get(MAY_PAUSE, True)
    return allowed


class Waiting:
    """The time for which an answer waits; `over` is asked each time that there is none yet."""

    def __init__(self, seconds: float, ending: Callable[[], bool]) -> None:
        self._until = monotonic() + seconds
        self._ending = ending

    @property
    def over(self) -> bool:
        """Whether the answer must be given now: time is up, or the process ends."""
        return monotonic() >= self._until or self._ending()


class WaitingResponse(Response):
    """A response that is made later: `answer` returns None as long as there is nothing to say.

    In our worker it takes no thread meanwhile (`modelsync.server.wsgi_call`).
    """

    def __init__(self, answer: Callable[[], Answer | None]) -> None:
        super().__init__()
        self._answer = answer

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer, after as many empty strings as it takes."""
        return self._respond(environ, start_response)

    def _respond(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
        while (answer := self._answer()) is None:
            yield from pause(environ)
        self.set_data(answer.body)
        self.status_code = answer.status
        self.content_type = answer.content_type
        for name, value in answer.headers:
            self.headers[name] = value
        yield from super().__call__(environ, start_response)


def pause(environ: dict[str, Any]) -> Iterator[bytes]:
    """Let a moment pass: `yield from` it in the body of a response."""
    if MAY_PAUSE in environ:
        yield b""
    else:
        sleep(PAUSE)


def prefers_async() -> bool:
    """Whether the client of the current request prefers an answer before the work is done."""
    return bool(_ASYNC.search(",".join(request.headers.getlist("Prefer"))))


def applied(seconds: float | None, *, is_async: bool = False) -> Headers:
    """`Preference-Applied` of an answer that has waited for so many seconds at most; `is_async`:
    that is given before the work is done, as its client prefers.
    """
    waited = [f"wait={math.ceil(seconds)}"] if seconds is not None else []
    names = ["respond-async"] * is_async + waited
    return (("Preference-Applied", ", ".join(names)),) if names else ()
