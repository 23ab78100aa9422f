"""Validators that stop at the first wrong item of a list.

A list of 2.4 million wrong items makes as many errors in pydantic's core: a second in which no
thread of the process runs, and a gigabyte. A validator that stops at the first one costs nothing
more where the items are right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import SchemaError, SchemaValidator

MAX_ITEMS = 10_000
"""Items, in all lists and objects of a value, of which every wrong one is looked for."""

_SEQUENCES = {"list", "tuple", "set", "frozenset"}
_NOT_SCHEMAS = {"metadata", "serialization", "default", "expected", "config", "cls", "ref"}


def fail_fast(adapter: TypeAdapter[Any]) -> Callable[[Any], Any]:
    """Return the adapter's validator, made to stop at the first wrong item of a list.

    It is the ordinary one if pydantic cannot build another.
    """
    try:
        schema = _stopping(adapter.core_schema)
        # Not with the validators that pydantic models have already: those do not stop.
        return SchemaValidator(schema, None, _use_prebuilt=False).validate_python
    except (SchemaError, TypeError, AttributeError):
        return adapter.validator.validate_python


def is_large(value: Any) -> bool:
    """Return whether a value of JSON has more than `MAX_ITEMS` items in its lists and objects."""
    count, waiting = 0, [value]
    while waiting:
        one = waiting.pop()
        if type(one) not in (dict, list):
            continue
        count += len(one)
        if count > MAX_ITEMS:
            return True
        waiting.extend(one.values() if type(one) is dict else one)
    return False


def _stopping(schema: Any) -> Any:
    """Return a copy of a core schema in which all sequences fail fast."""
    if isinstance(schema, list | tuple):
        return type(schema)(map(_stopping, schema))
    if type(schema) is not dict:
        return schema
    copy = {key: part if key in _NOT_SCHEMAS else _stopping(part) for key, part in schema.items()}
    if schema.get("type") in _SEQUENCES:
        copy["fail_fast"] = True
    return copy
