"""JSON as bytes: orjson, or where it is not installed the standard library in its place.

The service has orjson. A runner in an environment of a model may not have it; there the same texts
are refused, and ordinary values are written the same, more slowly. Only what this package uses of
orjson is here.
"""

from __future__ import annotations

import json
import sys
from typing import Any

try:
    from orjson import (
        OPT_APPEND_NEWLINE,
        OPT_SERIALIZE_NUMPY,
        Fragment,
        JSONDecodeError,
        dumps,
        loads,
    )
except ImportError:  # in an environment of a model
    from modelsync.plain_json import (  # type: ignore[assignment]
        OPT_APPEND_NEWLINE,
        OPT_SERIALIZE_NUMPY,
        Fragment,
        JSONDecodeError,
        dumps,
        loads,
    )

MODULE = sys.modules.get("orjson", json)
"""The module that reads and writes the bodies."""

__all__ = [
    "DIGITS_AS_ZERO",
    "LONG_INTEGER",
    "MODULE",
    "OPT_APPEND_NEWLINE",
    "OPT_SERIALIZE_NUMPY",
    "SHORTEST",
    "Fragment",
    "JSONDecodeError",
    "dump_lossy",
    "dumps",
    "has_long_number",
    "loads",
]


LONG = b"0" * 16
"""Digits from which on a double may have fewer."""

LONG_INTEGER = b"0" * 20
"""Digits from which on an integer may not fit 64 bits, and is read as a double."""

SHORTEST = len('{"variables":{"":}}') + len(LONG_INTEGER)
"""Bytes of the shortest request that may hold such an integer."""

DIGITS_AS_ZERO = bytes(0x30 if 0x30 <= byte <= 0x39 else byte for byte in range(256))


def has_long_number(body: bytes) -> bool:
    """Return whether a body may hold a number, or a text, of more digits than a double has."""
    return LONG in body.translate(DIGITS_AS_ZERO, b".")


def dump_lossy(value: Any) -> bytes:
    """Return `value`, of JSON's types, as JSON; what UTF-8 cannot hold becomes `?`."""
    try:
        return dumps(value)
    except TypeError:  # lone surrogates, integers over 64 bits
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")
