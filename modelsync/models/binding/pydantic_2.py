"""Validates `variables` by the types of a signature with pydantic 2, and gives their schema."""

from __future__ import annotations

import types
import typing
from contextlib import suppress
from typing import Annotated, Any, NotRequired, Required, Union, get_args, get_origin

import typing_extensions
from pydantic import ConfigDict, Field, PydanticUserError, TypeAdapter, ValidationError

from modelsync import json_text
from modelsync.errors import VariablesInvalid
from modelsync.models.binding import library_types
from modelsync.models.binding.constraints import Finite, Length
from modelsync.models.binding.fail_fast import fail_fast, is_large
from modelsync.models.binding.invalid import MAX_FIELDS, invalid, too_many
from modelsync.models.binding.typehints import Schema, Validate, Variables, unfillable
from modelsync.models.schemas import json_values

MOST_ERRORS = 10_000
"""Errors that are made into messages."""

MOST_DEFAULTS = 1000
"""Items, or characters, of a default that is shown."""

_ANY_TYPE = ConfigDict(arbitrary_types_allowed=True)

# What pydantic raises for a type that it cannot validate.
_NO_VALIDATOR = (PydanticUserError, TypeError, NameError)


def structure(parameter: str, kind: Any) -> tuple[Validate, Schema]:
    """Return the validator and the JSON schema of one type that describes the whole object.

    `parameter` is the name of the parameter that has this type. Raises ModelBroken if pydantic
    cannot validate the type.
    """
    if library_types.is_version_1(kind):
        from modelsync.models.binding import pydantic_1

        return pydantic_1.structure(parameter, kind)
    return _both(_adapter_of({parameter: kind}, kind))


def members(keys: dict[str, Any]) -> tuple[Validate, Schema]:
    """Return both for an object with these keys and their types. Other keys are dropped."""
    keys = {name: _modern(kind, ()) for name, kind in keys.items()}
    return _both(_build(_typed_dict("Variables", keys, ConfigDict(extra="ignore"))))


def arguments(
    hints: dict[str, Any], defaults: dict[str, Any], *, open_ended: bool
) -> tuple[Validate, Schema]:
    """Return both for a signature as a TypedDict, in which any name can be a key.

    Raises ModelBroken, which names the parameter whose type pydantic cannot validate.
    """
    keys: dict[str, Any] = {}
    for name, given in hints.items():
        hint = _modern(given, ())
        if name in defaults:
            shown = _schema_default(defaults[name])
            hint = NotRequired[Annotated[hint, Field(json_schema_extra=shown)] if shown else hint]
        keys[name] = hint
    config = ConfigDict(extra="allow" if open_ended else "ignore")
    return _both(_adapter_of(hints, _typed_dict("Variables", keys, config)))


def response(kind: Any) -> Schema | None:
    """Return the JSON schema of the answers of a method that returns this type; None without one.

    Fields have their own names, as answers do, even if they have an alias.
    """
    from modelsync.models.binding.described_types import described

    # Whatever it holds may be of any type: nothing is validated by it.
    holder = _typed_dict("Answer", {"it": _modern(kind, ())}, _ANY_TYPE)
    aliases = getattr(kind, "model_config", {}).get("serialize_by_alias", False)
    found = described(TypeAdapter(holder), "serialization", by_alias=aliases)
    if found is None:
        return None
    return _unwrapped(found["properties"]["it"], found.get("$defs", {}))


def _unwrapped(schema: Schema, definitions: Schema) -> Schema:
    """Return the schema with its definitions; in place of a mere reference, what that names."""
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    if name not in definitions:
        return {**schema, **({"$defs": definitions} if definitions else {})}
    others = {key: one for key, one in definitions.items() if key != name}
    is_used = f'"#/$defs/{name}"' in json_text.dumps(json_values.plain(definitions)).decode()
    kept = definitions if is_used else others
    return {**definitions[name], **({"$defs": kept} if kept else {})}


def _schema_default(default: Any) -> Schema | None:
    """Return the default as JSON schema has it; None if JSON cannot hold it, or it is large."""
    with suppress(Exception):  # what has no length is small
        if len(default) > MOST_DEFAULTS:
            return None
    shown = json_values.of(default)
    return None if shown is json_values.NOTHING else {"default": shown}


def _both(adapter: TypeAdapter[Any]) -> tuple[Validate, Schema]:
    return _validator_of(adapter), _schema_of(adapter)


def _validator_of(adapter: TypeAdapter[Any]) -> Validate:
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


def _schema_of(adapter: TypeAdapter[Any]) -> Schema:
    """Return the JSON schema of what the adapter validates."""
    from modelsync.models.binding.described_types import described

    return described(adapter, "validation", by_alias=True) or {"type": "object"}


def _adapter_of(hints: dict[str, Any], kind: Any) -> TypeAdapter[Any]:
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


def _typed_dict(name: str, keys: dict[str, Any], config: ConfigDict) -> Any:
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
    """Return the type with what pydantic does not know in its own words: our constraints, and each
    `typing.TypedDict` as a `typing_extensions.TypedDict`.

    Before Python 3.12 pydantic takes only the latter, which the author of a model need not know.
    `within`: the TypedDicts that are being converted, since one may refer to itself.
    """
    if (
        type(hint).__module__ == "typing"
        and typing_extensions.is_typeddict(hint)
        and hint not in within
    ):
        return _modern_typed_dict(hint, (*within, hint))
    if (foreign := library_types.known(hint)) is not None:
        return foreign
    if isinstance(hint, Finite):
        return Field(allow_inf_nan=False)
    if isinstance(hint, Length):
        return Field(min_length=hint.items, max_length=hint.items)
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
    made = _typed_dict(hint.__name__, keys, getattr(hint, "__pydantic_config__", ConfigDict()))
    made.__doc__ = hint.__doc__
    return made


def _invalid(error: ValidationError) -> VariablesInvalid:
    """Return the error for the client."""
    count = error.error_count()
    if count > MOST_ERRORS:  # pydantic makes an object of each: gigabytes
        return too_many(count)
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return invalid([(one["loc"], one["msg"]) for one in details[:MAX_FIELDS]], count)
