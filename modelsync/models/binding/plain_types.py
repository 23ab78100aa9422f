"""Checks `variables` by the types of a signature without pydantic, for environments that have none.

It knows names, defaults and the types that JSON has, alone and in lists, dicts, unions, literals,
enums, dataclasses and TypedDicts. It accepts what pydantic accepts of them, and says the same about
what does not fit. Any other type is refused when the model is loaded.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Annotated, Any, Literal, NotRequired, Required, Union, get_args, get_origin

from modelsync.models.binding.invalid import invalid
from modelsync.models.binding.plain_checks import (
    LISTS,
    Check,
    UnknownType,
    Wrong,
    check_of,
    fields_of,
)
from modelsync.models.binding.typehints import (
    Schema,
    Validate,
    Variables,
    is_dict,
    is_structure,
    unfillable,
)

_HINT = "without pydantic in the environment: take a dict, or types that JSON has"


def structure(parameter: str, kind: Any) -> tuple[Validate, Schema]:
    """Return the validator and the JSON schema of one type that describes the whole object."""
    try:
        return _validate(check_of(kind)), {"type": "object"}
    except UnknownType as reason:
        raise unfillable(parameter, kind, f"{reason} {_HINT}") from None


def members(keys: dict[str, Any]) -> tuple[Validate, Schema]:
    """Return both for an object with these keys and their types. Other keys are dropped."""
    return arguments(keys, {}, open_ended=False)


def arguments(
    hints: dict[str, Any], defaults: dict[str, Any], *, open_ended: bool
) -> tuple[Validate, Schema]:
    """Return both for the arguments of a method: the type of each, and the defaults of some."""
    checks = {}
    for name, hint in hints.items():
        try:
            checks[name] = check_of(hint)
        except UnknownType as reason:
            raise unfillable(name, hint, f"{reason} {_HINT}") from None
    required = [name for name in hints if name not in defaults]
    schema: Schema = {
        "type": "object",
        "properties": {name: _schema(hint) for name, hint in hints.items()},
        "required": required,
    }
    return _validate(fields_of(checks, set(required), keep=open_ended)), schema


def response(kind: Any) -> Schema | None:
    """Return the JSON schema of the answers of a method that returns this type."""
    return _schema(kind)


def _validate(check: Check) -> Validate:
    def validate(variables: Variables) -> Any:
        try:
            return check(variables, ())
        except Wrong as wrong:
            raise invalid(wrong.found) from None

    return validate


# --- schemas --------------------------------------------------------------------------------------

_NAMES = {float: "number", int: "integer", str: "string", bool: "boolean", type(None): "null"}


MAX_DEPTH = 8
"""Structures within each other that a schema shows; one may hold itself."""


def _schema(hint: Any, depth: int = 0) -> Schema:
    """Return the JSON schema of a type, which may accept more than the type does."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Annotated, Required, NotRequired):
        return _schema(parts[0], depth)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(part, depth) for part in parts]}
    if origin is Literal:
        return {"enum": list(parts)}
    if hint in _NAMES:
        return {"type": _NAMES[hint]}
    if (origin or hint) in LISTS:
        return {"type": "array", "items": _schema(parts[0], depth) if parts else {}}
    if isinstance(hint, type) and is_structure(hint) and depth < MAX_DEPTH:
        return _structure(hint, depth)
    if is_dict(hint) and len(parts) == 2 and depth < MAX_DEPTH:
        return {"type": "object", "additionalProperties": _schema(parts[1], depth + 1)}
    is_object = is_structure(hint) or is_dict(hint)
    return {"type": "object"} if is_object else {}


def _structure(kind: type, depth: int) -> Schema:
    """Return the schema of a dataclass or a TypedDict by the types of its fields."""
    hints = typing.get_type_hints(kind, include_extras=True)
    if dataclasses.is_dataclass(kind):
        hints = {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    # Where annotations are strings, `__required_keys__` does not know of the wrapper.
    keys = getattr(kind, "__required_keys__", hints)
    wrappers = {name: get_origin(part) for name, part in hints.items()}
    needed = {name for name in hints if wrappers[name] is Required or name in keys}
    needed -= {name for name in hints if wrappers[name] is NotRequired}
    return {
        "type": "object",
        "title": kind.__name__,
        "properties": {name: _schema(part, depth + 1) for name, part in hints.items()},
        "required": [name for name in hints if name in needed],
    }
