"""The part of orjson's interface that this package uses, with the standard library alone.

It refuses what orjson refuses: NaN, infinities, lone surrogates, invalid UTF-8, a byte order mark,
nesting over 1,024 levels; and it writes what orjson writes: dates, times, UUIDs and fragments, NaN
as null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from json import JSONDecodeError as JSONDecodeError
from json.encoder import encode_basestring
from typing import Any, NoReturn
from uuid import UUID

OPT_APPEND_NEWLINE, OPT_SERIALIZE_NUMPY = 1, 2

DOUBLE_DIGITS = 15
"""Decimal digits that a double keeps, whichever they are."""

_64_BITS = range(-(2**63), 2**64)

Decode = Callable[[str], Any]

Default = Callable[[Any], Any]


class Fragment:
    """A text that is JSON already."""

    __slots__ = ("contents",)

    def __init__(self, contents: str) -> None:
        self.contents = contents


# --- reading --------------------------------------------------------------------------------------


def loads(text: bytes | str, decode: Decode | None = None) -> Any:
    """Parse JSON, by another decoder than usual if one is given. Raises JSONDecodeError."""
    if isinstance(text, bytes):
        try:
            text = text.decode()
        except UnicodeDecodeError as error:
            raise JSONDecodeError("invalid UTF-8", "", 0) from error
    try:
        found = (decode or _decode)(text)
        if "\\u" in text:
            json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise JSONDecodeError("lone surrogate in a text", text, text.index("\\u")) from None
    except (RecursionError, _Refused) as error:
        said = str(error) if isinstance(error, _Refused) else "Recursion limit reached"
        place = max(0, text.find(error.token)) if isinstance(error, _Refused) else 0
        raise JSONDecodeError(said, text, place) from None
    return found


def loads_exactly(text: bytes | str, *, decimals: bool = False) -> Any:
    """Parse JSON, and keep all digits of integers; with `decimals` those of fractions too, which
    become `Decimal` where a double has fewer. Raises JSONDecodeError.
    """
    return loads(text, _decode_decimals if decimals else _decode_integers)


class _Refused(Exception):
    """A number that is not read: what is wrong with it, and its digits."""

    def __init__(self, said: str, token: str) -> None:
        super().__init__(said)
        self.token = token


def _refuse(constant: str) -> NoReturn:
    raise _Refused(f"{constant} is no number of JSON", constant)


def _float(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise _Refused("number out of range", digits)
    return value


def _int(digits: str) -> int | float:
    if len(digits) > 20:
        return _float(digits)
    value = int(digits)  # a float must not be looked for in the range: that takes for ever
    return value if value in _64_BITS else float(value)


def _whole(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:  # more than `sys.get_int_max_str_digits()`: it would take for ever
        raise _Refused(f"number of {len(digits)} digits", digits) from None


def _decimal(digits: str) -> float | Decimal:
    if len(digits) <= DOUBLE_DIGITS:
        return float(digits)
    value = Decimal(digits)
    return _float(digits) if len(value.as_tuple().digits) <= DOUBLE_DIGITS else value


def _decoder(**numbers: Callable[[str], Any]) -> Decode:
    return json.JSONDecoder(parse_constant=_refuse, **numbers).decode  # type: ignore[arg-type]


_decode = _decoder(parse_float=_float, parse_int=_int)
_decode_integers = _decoder(parse_float=_float, parse_int=_whole)
_decode_decimals = _decoder(parse_float=_decimal, parse_int=_whole)


# --- writing --------------------------------------------------------------------------------------


def dumps(value: Any, /, default: Default | None = None, option: int = 0) -> bytes:
    """Write `value` as JSON. Raises TypeError."""
    try:
        text = _encode(value)
    except (TypeError, ValueError):  # ValueError: NaN, or a value that contains itself
        text = _written(value, default, 0)
    try:
        body = text.encode()
    except UnicodeEncodeError:
        raise TypeError("str is not valid UTF-8: surrogates not allowed") from None
    return body + b"\n" if option & OPT_APPEND_NEWLINE else body


def _exact(value: Any) -> NoReturn:
    raise TypeError(type(value).__name__)


_encode = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_exact
).encode


def _written(value: Any, default: Default | None, depth: int) -> str:
    """Write one value that the encoder of the standard library refuses or may have refused."""
    if depth > 254:
        raise TypeError("Recursion limit reached")
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, dict):
        items = (f"{_key(key)}:{_written(item, default, depth + 1)}" for key, item in value.items())
        return "{" + ",".join(items) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_written(item, default, depth + 1) for item in value) + "]"
    text = _scalar(value)
    if text is not None:
        return text
    if default is None:
        raise TypeError(f"Type is not JSON serializable: {type(value).__name__}")
    return _written(default(value), default, depth + 1)


def _scalar(value: Any) -> str | None:
    """Write a value that holds no others; None if JSON has no type for it."""
    match value:
        case Fragment():
            return value.contents
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case str():
            return encode_basestring(value)
        case int():
            if value not in _64_BITS:
                raise TypeError("Integer exceeds 64-bit range")
            return int.__repr__(value)
        case float():
            return float.__repr__(value) if math.isfinite(value) else "null"
    return f'"{_TEXTS[type(value)](value)}"' if type(value) in _TEXTS else None


_TEXTS: dict[type, Callable[[Any], str]] = {
    datetime: datetime.isoformat,
    date: date.isoformat,
    time: time.isoformat,
    UUID: str,
}


def _key(key: Any) -> str:
    if not isinstance(key, str):
        raise TypeError("Dict key must be str")
    return encode_basestring(key)
