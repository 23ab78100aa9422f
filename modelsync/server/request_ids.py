"""Request ids: each request is logged and answered under one (`X-Request-ID`)."""

from __future__ import annotations

import os
import re
from typing import Final

HEADER = "X-Request-ID"

_ACCEPTABLE: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch


def acceptable(given: bytes | None) -> bytes:
    """Return the client's id if it is safe in a header and a log line, else empty bytes."""
    return given if given and _ACCEPTABLE(given) else b""


def request_id(given: str | None = None) -> str:
    """Return the client's id if it is acceptable, else a new one of 32 hexadecimal digits."""
    return acceptable((given or "").encode()).decode() or os.urandom(16).hex()
