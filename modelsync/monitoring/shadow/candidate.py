"""The candidate: a service that is asked what was predicted already."""

from __future__ import annotations

import select
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from time import monotonic
from urllib.parse import urlsplit

from modelsync import __version__
from modelsync.monitoring.shadow.requests import HEADER, ShadowRequest

CONNECT = 5.0
"""Seconds for a connection."""

PART = 64 * 1024

ROOM = 1024**2
"""Bytes that an answer may have besides twice the size of ours."""


@dataclass(frozen=True, slots=True)
class CandidateAnswer:
    """`whole`: false if the rest of the body was not read, because it is so much longer than ours.

    `release` and `version` are those of the candidate, empty if it names none. `seconds`: from the
    request to the end of the answer.
    """

    status: int
    body: bytes
    whole: bool
    release: str
    version: str
    seconds: float


class ShadowCandidate:
    """One connection to the service at `url`, for one thread.

    It gets of a request the body, its content type, its id and, where one is needed, its token.
    Redirects are not followed: nothing goes to another place. Nothing is asked twice: a request
    that ends a worker must not end another one. `timeout`: seconds for an answer.
    """

    def __init__(self, url: str, timeout: float) -> None:
        parts = urlsplit(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connect = min(CONNECT, timeout)
        self._connection = kind(parts.hostname or "", parts.port, timeout=connect)
        self._prefix = parts.path
        self._timeout = timeout

    def ask(self, request: ShadowRequest) -> CandidateAnswer | str:
        """Return the candidate's answer, or why there is none."""
        try:
            return self._ask(request)
        except (HTTPException, OSError, ValueError) as error:  # of its answer, a socket, a field
            self._connection.close()
            return getattr(error, "strerror", None) or type(error).__name__

    def _ask(self, request: ShadowRequest) -> CandidateAnswer:
        """Return the candidate's answer. Raises HTTPException, OSError and ValueError."""
        started = monotonic()
        connection = self._connection
        if connection.sock and select.select([connection.sock], [], [], 0)[0]:
            connection.close()  # the candidate has closed it
        if not connection.sock:
            connection.connect()
            connection.sock.settimeout(self._timeout)
        target = self._prefix + request.target
        connection.request("POST", target, request.body, _fields(request))
        response = connection.getresponse()
        with response:  # read to its end or not, the next request needs it closed
            body, whole = self._read(response, 2 * len(request.answer) + ROOM, started)
        if not whole:
            connection.close()
        return CandidateAnswer(
            response.status,
            body,
            whole,
            release=response.headers.get("X-Modelsync-Release", ""),
            version=response.headers.get("X-Modelsync-Model-Version", ""),
            seconds=monotonic() - started,
        )

    def _read(self, response: HTTPResponse, limit: int, started: float) -> tuple[bytes, bool]:
        """Return a body of at most about `limit` bytes, and whether that is all of it.

        Raises OSError and HTTPException if it does not come, or not in time.
        """
        body = bytearray()
        while part := response.read1(PART):
            body += part
            if monotonic() - started > self._timeout:  # it trickles
                raise TimeoutError
            if len(body) > limit:
                return bytes(body), False
        if response.length:
            raise ConnectionError("the answer is cut off")
        return bytes(body), True


def _fields(request: ShadowRequest) -> dict[str, str]:
    fields = {
        "Content-Type": request.content_type,
        "X-Request-ID": request.request_id,
        "User-Agent": f"modelsync/{__version__}",
        HEADER: "1",
    }
    if request.authorization:
        fields["Authorization"] = request.authorization
    return fields
