"""Validates `variables` with pydantic 1, which the environment of a model may have, and models of
`pydantic.v1`, which version 2 brings.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any, cast

import pydantic

from modelsync.errors import ModelBroken, VariablesInvalid
from modelsync.models.binding import plain_types
from modelsync.models.binding.invalid import invalid
from modelsync.models.binding.typehints import Schema, Validate, Variables, unfillable

# The service has version 2, whose types are the ones that mypy knows.
_v1 = cast("Any", pydantic if pydantic.VERSION.startswith("1.") else import_module("pydantic.v1"))

members = plain_types.members
"""Only artefacts need this, which demand numbers and texts."""

_ROOT = "__root__"


def structure(parameter: str, kind: Any) -> tuple[Validate, Schema]:
    """Return the validator and the JSON schema of one type that describes the whole object."""
    if isinstance(kind, type) and issubclass(kind, _v1.BaseModel):
        model: Any = kind
        return _checked(model.parse_obj), model.schema()
    if dataclasses.is_dataclass(kind):  # version 1 does not say which of its fields is wrong
        with suppress(ModelBroken):
            return plain_types.structure(parameter, kind)
    made = _made({parameter: kind}, {_ROOT: (kind, ...)}, _v1.Extra.ignore)
    return _checked(lambda variables: made.parse_obj(variables).__root__), _schema(made)


def arguments(
    hints: dict[str, Any], defaults: dict[str, Any], *, open_ended: bool
) -> tuple[Validate, Schema]:
    """Return both for the arguments of a method.

    A field of version 1 may not have any name, so that each has a number and an alias.
    """
    fields = {f"field_{number}": name for number, name in enumerate(hints)}
    definitions = {
        field: (hints[name], _v1.Field(defaults.get(name, ...), alias=name, title=name))
        for field, name in fields.items()
    }
    made = _made(hints, definitions, _v1.Extra.ignore)

    def named(variables: Variables) -> Variables:
        found = made.parse_obj(variables)
        given = {name: getattr(found, field) for field, name in fields.items() if name in variables}
        return {**variables, **given} if open_ended else given

    return _checked(named), _schema(made)


def response(kind: Any) -> Schema | None:
    """Return the JSON schema of the answers of a method that returns this type; None without one.

    Version 1 knows only some of the types that a dict may have as values.
    """
    if isinstance(kind, type) and issubclass(kind, _v1.BaseModel):
        model: Any = kind
        schema: Schema = model.schema(by_alias=False)
        return schema
    return plain_types.response(kind)


def _made(hints: dict[str, Any], definitions: dict[str, Any], extra: Any) -> Any:
    """Make a model of fields. Raises ModelBroken, which names the parameter that none can be of."""

    def make(fields: dict[str, Any]) -> Any:
        config = type("Config", (_v1.BaseConfig,), {"extra": extra})
        return _v1.create_model("Variables", __config__=config, **fields)

    try:
        return make(definitions)
    except (RuntimeError, TypeError, ValueError, _v1.errors.ConfigError) as error:
        for name, hint in hints.items():
            try:
                make({"field": (hint, ...)})
            except (RuntimeError, TypeError, ValueError, _v1.errors.ConfigError) as reason:
                raise unfillable(name, hint, str(reason).partition("\n")[0]) from error
        raise


def _schema(made: Any) -> Schema:
    try:
        schema: Schema = made.schema()
    except ValueError:  # a type that validates but has no JSON schema
        return {"type": "object"}
    return schema


def _checked(validate: Callable[[Variables], Any]) -> Validate:
    """Return `validate` with the error of version 1 as ours."""

    def check(variables: Variables) -> Any:
        try:
            return validate(variables)
        except _v1.ValidationError as error:
            raise _invalid(error) from None

    return check


def _invalid(error: Any) -> VariablesInvalid:
    details = error.errors()
    return invalid(
        [([part for part in one["loc"] if part != _ROOT], one["msg"]) for one in details]
    )
