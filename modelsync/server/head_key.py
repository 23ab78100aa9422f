"""What counts in a request's head: two heads that differ in nothing of it are answered alike.

Behind proxies and tracers hardly two heads are the same: each has a request id, a trace, a client's
address. None of that decides how a prediction is answered. A field that decides nothing needs only
be well-formed (RFC 9110 section 5).
"""

from __future__ import annotations

import re
from functools import lru_cache

from modelsync.server.request_ids import accepted

DECISIVE = frozenset({
    b"host", b"connection", b"proxy-connection", b"keep-alive", b"upgrade", b"transfer-encoding", b"te", b"trailer",
    b"expect", b"authorization", b"content-type", b"content-encoding",
})  # fmt: skip
"""Fields that the parser, `rules` or `Router.admit` look at; the rest is only logged or not looked
at. All are kept as they came, so that a client with other ones has another head.
"""

MAX_SIZE = 4096
"""Bytes of a head that is looked at."""

MAX_FIELDS = 64

MAX_LINES = 1024
"""Lines whose meaning is remembered."""

_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)").fullmatch
_LENGTH = re.compile(rb"[0-9]{1,18}").fullmatch

IDLE, DECIDES, LENGTH, ID, ODD = range(5)


HeadKey = tuple[bytes, int, bytes]
"""A key, of the request line and the decisive fields in their order; the bytes of the body; the
client's own id for the request, empty where it has given none that is accepted.
"""


def head_key(head: bytes) -> HeadKey | None:
    """What counts in `head`, which ends with an empty line. None where that is for the parser to
    find out.
    """
    lines = head.split(b"\r\n")
    if not lines[0].startswith(b"POST ") or len(head) > MAX_SIZE or len(lines) > MAX_FIELDS:
        return None
    kept = lines[:1]
    length: int | None = None
    request_id: bytes | None = None
    for line in lines[1:-2]:
        meaning, value = _meaning(line)
        if meaning == IDLE:
            continue
        if meaning == DECIDES:
            kept.append(line)
        elif meaning == ID and request_id is None:
            request_id = value
        elif meaning == LENGTH and length is None:
            length = int(value)
        else:
            return None
    return None if length is None else (b"\r\n".join(kept), length, request_id or b"")


@lru_cache(MAX_LINES)
def _meaning(line: bytes) -> tuple[int, bytes]:
    field = _FIELD(line)
    if not field:
        return ODD, b""
    name, value = field[1].lower(), field[2].rstrip(b" \t")
    if name in DECISIVE:
        return DECIDES, value
    if name == b"content-length":
        return (LENGTH, value) if _LENGTH(value) else (ODD, b"")
    return (ID, accepted(value)) if name == b"x-request-id" else (IDLE, value)
