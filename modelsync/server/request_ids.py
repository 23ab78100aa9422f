"""The id under which a request is logged and answered (`X-Request-ID`)."""

from __future__ import annotations

import os
import re

HEADER = "X-Request-ID"

_ACCEPTED = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch


def accepted(given: bytes | None) -> bytes:
    """The client's id where it can be trusted in a header and a log line, else nothing."""
    return given if given and _ACCEPTED(given) else b""


def request_id(given: str | None = None) -> str:
    """The client's id where it can be trusted in a header and a log line, else a new one (32 hex
    digits).
    """
    return accepted((given or "").encode()).decode() or os.urandom(16).hex()
