"""From what a model returns to the bytes of the answer.

What JSON has no word for is written so:

| value | JSON |
|---|---|
| NaN, infinities, NaT, `pandas.NA`, also inside arrays and as Decimal | null |
| numpy scalar, array; pandas Series, Index; tensor (anything with `tolist`) | number, (nested) list |
| pandas DataFrame | list of records |
| datetime, date, time, Timestamp | ISO 8601 text |
| timedelta | seconds |
| Decimal, int of any size | number with all its digits |
| Enum | its value |
| UUID, Path | text |
| bytes | text, where they are UTF-8 |
| set | list, sorted where it can be |
| tuple, named tuple, deque, range, view of a dict | list |
| dataclass, pydantic model, Mapping | object |
| key that is int, float, bool, None, date, UUID or Enum | text |
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections import deque
from collections.abc import Callable, Mapping, ValuesView
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

import orjson

from modelsync.errors import ModelRaised
from modelsync.models.convention import METHOD
from modelsync.models.diagnosis import hide_paths
from modelsync.observability.redaction import redacted

LARGEST = 64 * 1024**2  # bytes of an answer
DEEPEST = 200  # levels; orjson stops at 254

_dumps = orjson.dumps
_NUMPY = orjson.OPT_SERIALIZE_NUMPY
# orjson writes numpy's NaT in nanoseconds as the smallest integer it is stored as: an instant that
# is no real data.
_NAT = b"1677-09-21T00:12:43.145224"
_INT64 = range(-(2**63), 2**64)


class _Unfit(Exception):
    """A value that no JSON can hold; `path` leads to it."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path or 'the result'} {reason}")


def dump(result: object, limit: int = LARGEST) -> bytes:
    """Serialise a model's result, a dict, as JSON.

    Raises ModelRaised where it is no dict, holds what JSON cannot hold (naming its type and the
    path to it), or is longer than `limit` bytes.
    """
    if not isinstance(result, dict):
        raise ModelRaised("TypeError", f"{METHOD} returned {_a(result)}, not a dict")
    try:
        body = _dumps(result, _default, _NUMPY)
        if _NAT in body:
            body = _dump_slowly(result)
    except (TypeError, RecursionError):
        body = _dump_slowly(result)
    if len(body) > limit:
        raise ModelRaised(
            "ValueError", f"{METHOD} returned {len(body)} bytes of JSON; at most {limit} are served"
        )
    return body


def _a(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _dump_slowly(result: dict[Any, Any]) -> bytes:
    """Take the result apart ourselves: for what orjson refuses, and to name what nobody can
    serialise.
    """
    try:
        return _dumps(_plain(result, "", 0), _default, _NUMPY)
    except _Unfit as error:
        raise ModelRaised(
            "TypeError", f"{METHOD} returned what JSON cannot hold: {error}"
        ) from None
    except Exception as error:
        # Conversions run the model's own code: serialisers of pydantic, properties, tolist of its
        # own classes.
        raise ModelRaised(
            type(error).__name__,
            f"while serialising the result: {hide_paths(redacted(str(error), 1000))}",
        ) from error


def _plain(value: Any, path: str, depth: int) -> Any:
    if depth > DEEPEST:
        raise _Unfit("the result", f"is nested deeper than {DEEPEST} levels, or contains itself")
    match value:
        case None | bool():
            return value
        case float():
            return float(value)
        case Enum():
            return _plain(value.value, path, depth + 1)
        case str():
            return value.encode("utf-8", "replace").decode()  # lone surrogates
        case int():
            return value if value in _INT64 else orjson.Fragment(_digits(value))
        case dict():
            return {
                as_key(key, path): _plain(item, _below(path, key), depth + 1)
                for key, item in value.items()
            }
        case list() | tuple():
            return [_plain(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
        case datetime() | date() | time() | UUID():
            return _default(value) if type(value) not in _NATIVE else value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _plain(fields, path, depth + 1)
    try:
        simpler = _default(value)
    except TypeError:
        raise _Unfit(path, f"is {_a(value)}") from None
    except UnicodeDecodeError:
        raise _Unfit(
            path, "holds bytes that are not UTF-8; encode them, for example with base64"
        ) from None
    return simpler if isinstance(simpler, orjson.Fragment) else _plain(simpler, path, depth + 1)


_NATIVE = {datetime, date, time, UUID}


def _digits(value: int) -> str:
    allowed = sys.get_int_max_str_digits()
    if allowed and value.bit_length() > allowed * 3:
        raise ValueError(f"an integer of {value.bit_length()} bits")
    return str(int(value))


def _below(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def as_key(key: Any, path: str = "") -> str:
    """A key of an object as JSON has it, a text."""
    match key:
        case Enum():
            return as_key(key.value, path)
        case str():
            return str.__str__(key).encode("utf-8", "replace").decode()
        case None | bool():
            return {None: "null", True: "true", False: "false"}[key]
        case int():
            return _digits(key)
        case float():
            return repr(float(key)) if math.isfinite(key) else "null"
        case datetime() | date() | time():
            return key.isoformat()
        case UUID() | Decimal() | PurePath():
            return str(key)
    if callable(item := getattr(key, "item", None)) and not isinstance(
        simple := item(), type(key)
    ):  # numpy's
        return as_key(simple, path)
    raise _Unfit(path, f"has a key that is {_a(key)}")


# --- single values --------------------------------------------------------------------------------


def _default(value: Any) -> Any:
    """A simpler value in place of one that orjson does not know; TypeError where there is none."""
    for kind, simpler in _SIMPLER:
        if isinstance(value, kind):
            return simpler(value)
    if (dump := getattr(value, "model_dump", None)) and not isinstance(value, type):  # pydantic
        return dump()
    name = type(value).__name__
    if name == "NAType":
        return None
    if type(value).__module__ == "numpy" and value.dtype.kind in "Mm":
        # In microseconds numpy gives Python's own types, and None for NaT; in its finer units it
        # gives integers.
        return value.astype(f"{value.dtype.kind}8[us]").tolist()
    if name == "DataFrame" and hasattr(value, "columns"):
        return (
            value.to_dict("records") if hasattr(value, "iloc") else value.to_dicts()
        )  # pandas, polars
    if callable(tolist := getattr(value, "tolist", None)) and (simple := tolist()) is not value:
        return float(simple) if type(simple) is type(value) else simple
    raise TypeError(name)


def _instant(value: datetime | date | time) -> str | None:
    return value.isoformat() if value == value else None  # NaT is the one that differs from itself


def _decimal(value: Decimal) -> orjson.Fragment | None:
    return orjson.Fragment(str(value)) if value.is_finite() else None


def _seconds(value: timedelta) -> float | None:
    return value.total_seconds() if value == value else None


def _sorted(value: AbstractSet[Any]) -> list[Any]:
    try:
        return sorted(value)
    except TypeError:
        return list(value)


_SIMPLER: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    ((datetime, date, time), _instant),
    (timedelta, _seconds),
    (Decimal, _decimal),
    (float, float),
    (PurePath, str),
    ((bytes, bytearray), lambda value: value.decode()),
    (Mapping, dict),
    (AbstractSet, _sorted),
    ((tuple, deque, range, ValuesView), list),
)
