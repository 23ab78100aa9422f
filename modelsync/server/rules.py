"""The rules of HTTP/1.1 (RFC 9112) that llhttp leaves to the server.

They concern methods, request targets, the Host header, framing and expectations.
"""

from __future__ import annotations

import re

from modelsync.server.request import Request

_AUTHORITY = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9._~!$&'()*+;=-]|%[0-9A-Fa-f]{2})*)(?::[0-9]*)?"
).fullmatch
"""`uri-host [":" port]` (RFC 9110 section 7.2), perhaps empty. No comma, which RFC 3986 allows in a
host: a proxy that joins two fields puts one between them.
"""

_LINE_END = re.compile(rb"[\r\n]").finditer

_REQUEST_LINE = re.compile(rb"([A-Z][A-Z0-9_-]*) [^\s]+ HTTP/1\.[01]\r\n").match
"""A request line with any method, in upper case as all registered ones are."""

METHODS = frozenset(
    {
        *(b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"),
        *(b"TRACE", b"QUERY"),  # known, so that a path refuses them with 405 and its own methods
    }
)


class ProtocolError(Exception):
    """A request breaks the protocol or a limit: it is answered `status`, the connection ends."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


def check_method(request: Request) -> None:
    """Check the method and the version. Raises ProtocolError if this server does not know them."""
    if request.method not in METHODS:
        raise ProtocolError(501, "this server does not know the method")
    if request.version not in ("1.1", "1.0"):
        raise ProtocolError(505, "this server speaks HTTP/1.1")


def unknown_method(data: bytes) -> ProtocolError:
    """Return the error for data in which the parser finds something else than a method it knows.

    That may be behind other requests, so any line of it may be the request line.
    """
    starts = [0, *(found.end() for found in _LINE_END(data))]
    lines = (_REQUEST_LINE(data, start) for start in starts)
    if any(line and line[1] not in METHODS for line in lines):
        return ProtocolError(501, "this server does not know the method")
    return ProtocolError(400, "malformed request: it does not begin with a method")


def split_target(request: Request, target: bytes) -> None:
    """Set path and query from the request target (section 3.2). Raises ProtocolError.

    The target has the origin form or the absolute form, or is `*` for OPTIONS.
    """
    if not target.startswith(b"/"):
        if target == b"*" and request.method == b"OPTIONS":
            request.path = b"*"
            return
        scheme, separator, rest = target.partition(b"://")
        if not separator or scheme.lower() not in (b"http", b"https"):
            raise ProtocolError(400, "the request target must start with a slash")
        authority, target = _split_authority(rest)
        if not authority or not _AUTHORITY(authority):
            raise ProtocolError(400, "the authority of the request target is malformed")
    if b"#" in target or any(byte <= 32 or byte >= 127 for byte in target):
        raise ProtocolError(400, "the request target holds a character that must be escaped")
    request.path, _, request.query = target.partition(b"?")


def _split_authority(rest: bytes) -> tuple[bytes, bytes]:
    """Split what follows `http://` into the authority and the target in origin form.

    The authority ends at the first slash, question mark or number sign (RFC 3986 section 3.2).
    """
    end = min(
        (place for place in map(rest.find, (b"/", b"?", b"#")) if place >= 0), default=len(rest)
    )
    target = rest[end:]
    return rest[:end], target if target.startswith(b"/") else b"/" + target


def check_fields(request: Request) -> int:
    """Check Host (section 3.2) and framing (section 6). Raises ProtocolError.

    Returns the length of the body in bytes as `Content-Length` announces it, 0 without that field.
    """
    hosts = lengths = codings = 0
    length = 0
    for name, value in request.headers:
        if name == b"host":
            hosts += 1
            if not _AUTHORITY(value):
                raise ProtocolError(400, "the Host header is malformed")
        elif name == b"content-length":
            lengths += 1
            length = int(value) if value.isdigit() and len(value) < 19 else -1
        elif name == b"transfer-encoding":
            codings += 1
            if value.lower() != b"chunked":
                raise ProtocolError(501, "the only transfer coding this server knows is chunked")
        if b"\0" in value or b"\r" in value or b"\n" in value:
            raise ProtocolError(400, "a header holds a control character")
    if hosts > 1 or (hosts == 0 and request.version == "1.1"):
        raise ProtocolError(400, "a request needs exactly one Host header")
    _check_framing(request.version, length, lengths, codings)
    return length


def check_credentials(request: Request) -> None:
    """Check that there is one Authorization header at most. Raises ProtocolError."""
    if sum(name == b"authorization" for name, _ in request.headers) > 1:
        raise ProtocolError(400, "the request has more than one Authorization header")


def _check_framing(version: str, length: int, lengths: int, codings: int) -> None:
    """Check that the length of the body is clear (section 6.3). Raises ProtocolError.

    `length` is negative if malformed, `lengths` and `codings` count the fields.
    """
    if lengths > 1 or length < 0 or codings > 1 or (lengths and codings):
        raise ProtocolError(
            400, "the length of the body is given in more than one way or malformed"
        )
    if codings and version == "1.0":
        raise ProtocolError(400, "HTTP/1.0 has no transfer codings")


def expects_continue(request: Request) -> bool:
    """Return whether the client waits for `100 Continue` before it sends the body.

    Raises ProtocolError if it expects something else (RFC 9110 section 10.1.1).
    """
    expectation = request.header(b"expect")
    if expectation is not None and expectation.lower() != b"100-continue":
        raise ProtocolError(417, "the only expectation this server knows is 100-continue")
    return expectation is not None and request.version == "1.1"
