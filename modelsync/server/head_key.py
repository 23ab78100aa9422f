"""The cache key of a request's head: requests whose heads have the same key are answered alike.

Behind proxies and tracers almost every head differs: each has a request id, a trace, a client's
address. None of these decides how a prediction is answered, so they are left out of the key; they
only have to be well-formed (RFC 9110 section 5).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from modelsync.monitoring.shadow.requests import FIELD
from modelsync.server.request_ids import acceptable

DECISIVE: Final = frozenset({
    b"host", b"connection", b"proxy-connection", b"keep-alive", b"upgrade", b"transfer-encoding",
    b"te", b"trailer", b"expect", b"authorization", b"content-type", b"content-encoding",
    b"origin", FIELD,
})  # fmt: skip
"""Fields that the parser, `rules`, `Router` or `Cors` read; all others are logged at most.

The key holds them unchanged, so that heads that differ in one of them have different keys.
"""

MAX_SIZE: Final = 4096
"""Bytes of a head; longer ones have no key."""

MAX_FIELDS: Final = 64
"""Lines of a head; longer ones have no key."""

MAX_LINES = 1024
"""Lines whose classification is cached."""

_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)").fullmatch
_LENGTH = re.compile(rb"[0-9]{1,18}").fullmatch

# The kinds of a field: plain integers, because members of an enum take longer to look up.
IGNORED, IN_KEY, CONTENT_LENGTH, REQUEST_ID, MALFORMED = range(5)

HeadKey = tuple[bytes, int, bytes]
"""The key, the length of the body in bytes, and the client's request id or empty bytes.

The key is the request line and the decisive fields in their order.
"""


def head_key(head: bytes) -> HeadKey | None:
    """Return the key of `head`, which ends with an empty line; None if the parser must read it."""
    lines = head.split(b"\r\n")
    if not lines[0].startswith(b"POST ") or len(head) > MAX_SIZE or len(lines) > MAX_FIELDS:
        return None
    kept = lines[:1]
    length: int | None = None
    request_id: bytes | None = None
    for line in lines[1:-2]:
        kind, value = _classify(line)
        if kind == IGNORED:
            continue
        if kind == IN_KEY:
            kept.append(line)
        elif kind == REQUEST_ID and request_id is None:
            request_id = value
        elif kind == CONTENT_LENGTH and length is None:
            length = int(value)
        else:
            return None
    return None if length is None else (b"\r\n".join(kept), length, request_id or b"")


@lru_cache(MAX_LINES)
def _classify(line: bytes) -> tuple[int, bytes]:
    """Return the kind of a field and its value."""
    field = _FIELD(line)
    if not field:
        return MALFORMED, b""
    name, value = field[1].lower(), field[2].rstrip(b" \t")
    if name in DECISIVE:
        return IN_KEY, value
    if name == b"content-length":
        return (CONTENT_LENGTH, value) if _LENGTH(value) else (MALFORMED, b"")
    if name == b"x-request-id":
        return REQUEST_ID, acceptable(value)
    return IGNORED, value
