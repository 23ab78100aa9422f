"""Validates `variables` with pydantic by the types of a signature, and gives their JSON schema."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from typing import Any, NotRequired, Required, Union, get_args, get_origin

import typing_extensions
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema

from modelsync.errors import InvalidField, VariablesInvalid
from modelsync.models.binding.fail_fast import fail_fast, is_large
from modelsync.models.binding.typehints import unfillable
from modelsync.observability.redaction import redacted

Variables = dict[str, Any]
Schema = dict[str, Any]
Call = Callable[[Variables], Any]
Validate = Callable[[Variables], Any]
"""Takes `variables` and returns the validated value; raises VariablesInvalid."""

MAX_FIELDS = 100
"""Wrong fields that an answer names."""

MOST_ERRORS = 10_000
"""Errors that are made into messages."""

MAX_MESSAGE = 500
"""Characters of a field's name, and of what is wrong with it."""

# What pydantic raises for a type that it cannot validate.
_NO_VALIDATOR = (PydanticUserError, TypeError, NameError)


def structure(parameter: str, kind: Any) -> tuple[Validate, Schema]:
    """Return the validator and the JSON schema of one type that describes the whole object.

    `parameter` is the name of the parameter that has this type. Raises ModelBroken if pydantic
    cannot validate the type.
    """
    adapter = adapter_of({parameter: kind}, kind)
    return validator_of(adapter), schema_of(adapter)


def members(keys: dict[str, Any]) -> TypeAdapter[Any]:
    """Return the adapter of an object with these keys and their types. Other keys are dropped."""
    return _build(typed_dict("Variables", keys, ConfigDict(extra="ignore")))


def validator_of(adapter: TypeAdapter[Any]) -> Validate:
    """Return the adapter's validator, which raises VariablesInvalid.

    It names all wrong fields; of large variables only some, since millions may be wrong.
    """
    validate, validate_all = fail_fast(adapter), adapter.validator.validate_python

    def check(variables: Variables) -> Any:
        try:
            return validate(variables)
        except ValidationError as error:
            if is_large(variables):
                raise _invalid(error) from None
        try:
            return validate_all(variables)
        except ValidationError as error:
            raise _invalid(error) from None

    return check


def schema_of(adapter: TypeAdapter[Any]) -> Schema:
    """Return the JSON schema of what the adapter validates."""
    try:
        return adapter.json_schema()
    except PydanticInvalidForJsonSchema:  # a type that validates but has no JSON schema
        return {"type": "object"}


def adapter_of(hints: dict[str, Any], kind: Any) -> TypeAdapter[Any]:
    """Return the adapter of `kind`, which is made of the `hints` of parameters, by name.

    Raises ModelBroken, which names the parameter whose type pydantic cannot validate.
    """
    try:
        return _build(kind)
    except _NO_VALIDATOR as error:
        for name, hint in hints.items():
            try:
                _build(hint)
            except _NO_VALIDATOR as reason:
                message = str(reason).partition("\n")[0].partition(". Set `arb")[0]
                raise unfillable(name, hint, message) from error
        raise


def typed_dict(name: str, keys: dict[str, Any], config: ConfigDict) -> Any:
    """Return a TypedDict with these keys, each with its type, and pydantic's settings for it."""
    make: Any = typing_extensions.TypedDict  # its keys are known at load only
    made = make(name, keys)
    made.__pydantic_config__ = config
    return made


def _build(kind: Any) -> TypeAdapter[Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(_modern(kind, ()))
    _ = adapter.validator.validate_python  # raises if a part of the type is still unknown
    return adapter


def _modern(hint: Any, within: tuple[Any, ...]) -> Any:
    """Return the type with each `typing.TypedDict` as a `typing_extensions.TypedDict`.

    Before Python 3.12 pydantic takes only the latter, which the author of a model need not know.
    `within`: the TypedDicts that are being converted, since one may refer to itself.
    """
    if (
        type(hint).__module__ == "typing"
        and typing_extensions.is_typeddict(hint)
        and hint not in within
    ):
        return _modern_typed_dict(hint, (*within, hint))
    origin, parts = get_origin(hint), get_args(hint)
    changed = tuple(_modern(part, within) for part in parts)
    if all(new is old for new, old in zip(changed, parts, strict=True)):
        return hint
    if origin is types.UnionType:
        return Union[changed]  # noqa: UP007 - of a tuple
    return origin[changed if len(changed) > 1 else changed[0]]


def _modern_typed_dict(hint: Any, within: tuple[Any, ...]) -> Any:
    keys = {}
    for key, part in typing.get_type_hints(hint, include_extras=True).items():
        wrapper = Required if key in hint.__required_keys__ else NotRequired
        if get_origin(part) in (Required, NotRequired):
            # Where annotations are strings, `__required_keys__` does not know of the wrapper.
            wrapper, [part] = get_origin(part), get_args(part)
        keys[key] = wrapper[_modern(part, within)]
    made = typed_dict(hint.__name__, keys, getattr(hint, "__pydantic_config__", ConfigDict()))
    made.__doc__ = hint.__doc__
    return made


def _invalid(error: ValidationError) -> VariablesInvalid:
    """Return the error for the client; it names at most `MAX_FIELDS` fields."""
    count = error.error_count()
    if count > MOST_ERRORS:  # pydantic makes an object of each: gigabytes
        return VariablesInvalid([InvalidField("variables", f"{count} values do not fit")])
    details = error.errors(include_url=False, include_context=False, include_input=False)
    fields = [
        InvalidField(_place(one["loc"]), redacted(one["msg"], MAX_MESSAGE))
        for one in details[:MAX_FIELDS]
    ]
    if count > MAX_FIELDS:
        fields.append(InvalidField("variables", f"{count - MAX_FIELDS} more values do not fit"))
    return VariablesInvalid(fields)


def _place(location: tuple[int | str, ...]) -> str:
    place = ".".join(map(str, location)) or "variables"
    return place if len(place) <= MAX_MESSAGE else f"{place[: MAX_MESSAGE - 1]}…"
