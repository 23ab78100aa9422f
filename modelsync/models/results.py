"""Serialises the result of a model as the JSON of the answer.

Values that JSON has no type for are written like this:

| value | JSON |
|---|---|
| NaN, infinities, NaT, `pandas.NA`, also inside arrays and as Decimal | null |
| numpy scalar, array; pandas Series, Index; tensor (has `tolist`) | number, (nested) list |
| Series of polars, array of Arrow | list |
| DataFrame of pandas or polars, table of Arrow | list of records |
| pandas Interval, Period | text, such as `(18, 65]`, `2024-01` |
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
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from modelsync import json_text
from modelsync.errors import ModelRaised
from modelsync.models import single_precision
from modelsync.models.convention import METHOD
from modelsync.models.diagnosis import hide_paths
from modelsync.models.request_form import Rows
from modelsync.models.simpler_values import is_text, simpler
from modelsync.observability.redaction import redacted

MAX_BYTES: Final = 64 * 1024**2
"""Bytes of an answer."""

MAX_DEPTH = 200
"""Levels of nesting; orjson stops at 254."""

_dumps: Final = json_text.dumps
_NUMPY: Final = json_text.OPT_SERIALIZE_NUMPY
# orjson writes numpy's NaT in nanoseconds as an instant, that of the integer which stands for it.
_NAT: Final = b"1677-09-21T00:12:43.145224"
_INT64 = range(-(2**63), 2**64)


class _NotSerialisable(Exception):
    """A value that JSON cannot hold; `path` leads to it."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path or 'the result'} {reason}")


def dump(result: object, limit: int = MAX_BYTES) -> bytes:
    """Serialise a model's result, a dict or an object with fields, as JSON.

    Those of several rows are `Rows` of dicts, or what a model answers to a frame of them. Raises
    ModelRaised if it is neither, if JSON cannot hold one of its values (the message
    names its type and the path to it), or if the JSON is longer than `limit` bytes.
    """
    if not isinstance(result, dict) and type(result) is not Rows:
        result = as_dict(result)
    try:
        body = _dumps(result, simpler, _NUMPY)
        if len(body) <= len(_NAT):  # too short for that, and for the limit
            return body
        if body.find(_NAT) >= 0:  # twice as fast as `in`
            body = _dump_slowly(result)
    except (TypeError, RecursionError):
        body = _dump_slowly(result)
    if len(body) > limit:
        raise ModelRaised(
            "ValueError", f"{METHOD} returned {len(body)} bytes of JSON; at most {limit} are served"
        )
    return body


def as_dict(result: object) -> dict[Any, Any]:
    """Return a result as a dict of its members: a dataclass, a pydantic model, a Mapping.

    Raises ModelRaised for any other, and if the object's own code fails.
    """
    if isinstance(result, dict):
        return result
    if isinstance(result, type):
        raise not_a_dict(result)
    if dataclasses.is_dataclass(result):
        return {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    try:
        simple = simpler(result)
    except TypeError:
        simple = None
    except Exception as error:
        raise _failed(error) from error
    if isinstance(simple, dict):
        return simple
    raise not_a_dict(result)


def not_a_dict(result: object) -> ModelRaised:
    """Return the error for a result that is no dict."""
    return ModelRaised("TypeError", f"{METHOD} returned {_a(result)}, not a dict")


def _a(value: object) -> str:
    if type(value).__name__ == "coroutine":
        return f"a coroutine (async def {METHOD} could await it)"
    return "None" if value is None else f"a {type(value).__name__}"


def _dump_slowly(result: object) -> bytes:
    """Serialise what orjson refuses, value by value, or name the value that cannot be."""
    try:
        return _dumps(_plain(result, "", 0), simpler, _NUMPY)
    except _NotSerialisable as error:
        message = f"{METHOD} returned what JSON cannot hold: {error}"
        raise ModelRaised("TypeError", message) from None
    except Exception as raised:
        # Conversions run code of the model: serialisers of pydantic, properties, `tolist`.
        raise _failed(raised) from raised


def _failed(error: Exception) -> ModelRaised:
    message = f"while serialising the result: {hide_paths(redacted(str(error), 1000))}"
    return ModelRaised(type(error).__name__, message)


def _plain(value: Any, path: str, depth: int) -> Any:
    """Return the value as types that orjson serialises. Raises _NotSerialisable."""
    if depth > MAX_DEPTH:
        reason = f"is nested deeper than {MAX_DEPTH} levels, or contains itself"
        raise _NotSerialisable("the result", reason)
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
            return value if value in _INT64 else json_text.Fragment(_digits(value))
        case dict():
            return {
                as_key(key, path): _plain(item, _below(path, key), depth + 1)
                for key, item in value.items()
            }
        case list() | tuple():
            return [_plain(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
    return _plain_object(value, path, depth)


def _plain_object(value: Any, path: str, depth: int) -> Any:
    """Return a value of any other type as types that orjson serialises."""
    if type(value) in _NATIVE:
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return _plain(fields, path, depth + 1)
    try:
        plainer = simpler(value)
    except TypeError:
        raise _NotSerialisable(path, f"is {_a(value)}") from None
    except UnicodeDecodeError:
        reason = "holds bytes that are not UTF-8; encode them, for example with base64"
        raise _NotSerialisable(path, reason) from None
    return plainer if isinstance(plainer, json_text.Fragment) else _plain(plainer, path, depth + 1)


_NATIVE = {datetime, date, time, UUID}


def _digits(value: int) -> str:
    allowed = sys.get_int_max_str_digits()
    if allowed and value.bit_length() > allowed * 3:
        raise ValueError(f"an integer of {value.bit_length()} bits")
    return str(int(value))


def _below(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def as_key(key: Any, path: str = "") -> str:
    """Return the key of an object as text, as JSON has it. Raises _NotSerialisable."""
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
    return _key_of_library(key, path)


def _key_of_library(key: Any, path: str) -> str:
    if is_text(type(key)):
        return str(key)
    if callable(item := getattr(key, "item", None)):  # a scalar of numpy
        simple = single_precision.listed(key) if single_precision.is_single(key) else item()
        if not isinstance(simple, type(key)):
            return as_key(simple, path)
    raise _NotSerialisable(path, f"has a key that is {_a(key)}")
