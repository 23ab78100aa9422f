"""Cross-origin requests of browsers (https://fetch.spec.whatwg.org/#http-cors-protocol).

Without allowed origins nothing is said of them, and browsers keep answers from pages of others.
"""

from __future__ import annotations

import re

from modelsync.problems import Answer, Headers
from modelsync.server.request import Request

ANY = "*"

ALLOW_ORIGIN = "Access-Control-Allow-Origin"
CREDENTIALS = "Access-Control-Allow-Credentials"
EXPOSE = "Access-Control-Expose-Headers"
EXPOSED = (
    "X-Request-ID, X-Modelsync-Release, X-Modelsync-Model-Version, X-Modelsync-Model-State, "
    "X-Modelsync-Collisions, Location, Retry-After, ETag, Allow"
)
"""Fields of answers that a page may read beside the few that it always may."""

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
MAX_AGE = 600
"""Seconds for which a browser need not ask again."""

_NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+( *, *[!#$%&'*+.^_`|~0-9A-Za-z-]+)*").fullmatch
MAX_NAMES = 1000
"""Characters of the names of fields that a page wants to send."""


class Cors:
    """The origins whose pages may read answers: some, or any.

    Only pages of origins that are named may send cookies: a wildcard is not allowed with them.
    """

    def __init__(self, origins: tuple[str, ...]) -> None:
        self._origins = frozenset(origins)
        self._any = ANY in origins
        self.enabled = bool(origins)

    def allows(self, origin: str | None) -> bool:
        """Return whether pages of an origin may read answers."""
        return origin is not None and (self._any or origin in self._origins)

    def fields(self, origin: str | None) -> Headers:
        """Return the fields of every answer to a request from this origin, None if it has none."""
        if not self.enabled:
            return ()
        if self._any:
            return ((ALLOW_ORIGIN, ANY), (EXPOSE, EXPOSED))
        if not self.allows(origin):
            return (("Vary", "Origin"),)
        return (
            (ALLOW_ORIGIN, origin or ""),
            (CREDENTIALS, "true"),
            (EXPOSE, EXPOSED),
            ("Vary", "Origin"),
        )

    def preflight(self, method: str, origin: str | None, wanted: str | None, names: str) -> Headers:
        """Return the fields that answer a preflight, without those of every answer.

        Empty if the request is none, or comes from another origin: it is answered as any OPTIONS.
        `wanted`: the method that the page wants to use; `names`: the fields it wants to send.
        """
        if method != "OPTIONS" or not wanted or not self.allows(origin):
            return ()
        fields = [("Access-Control-Allow-Methods", METHODS)]
        if len(names) <= MAX_NAMES and _NAMES(names):
            fields.append(("Access-Control-Allow-Headers", names))
        return (*fields, ("Access-Control-Max-Age", str(MAX_AGE)))

    def answer(self, request: Request) -> Answer | None:
        """Return the answer to a preflight; None for any other request."""
        if not self.enabled or request.method != b"OPTIONS":
            return None
        found = self.preflight(
            "OPTIONS",
            text(request.header(b"origin")),
            text(request.header(b"access-control-request-method")),
            text(request.header(b"access-control-request-headers")) or "",
        )
        return Answer(204, b"", "", found) if found else None


def text(value: bytes | None) -> str | None:
    """Return the value of a field of a request as text."""
    return None if value is None else value.decode("latin-1").strip()
