"""How the `variables` of a request reach a model's method: decided once, from its signature, when
the model loads.
"""

from __future__ import annotations

import inspect
import math
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Optional,
    Required,
    Union,
    get_args,
    get_origin,
)

import typing_extensions
from pydantic import ConfigDict, Field, PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticInvalidForJsonSchema

from modelsync.errors import InvalidField, VariablesInvalid
from modelsync.models.loading.typehints import (
    broken,
    is_dataframe,
    is_dict,
    is_structure,
    resolve,
    without_none,
)
from modelsync.observability.redaction import redacted

Variables = dict[str, Any]
Schema = dict[str, Any]
Call = Callable[[Variables], Any]
Validate = Callable[[Variables], Any]
"""Takes `variables`, gives what they are turned into; raises VariablesInvalid."""

CANNOT = (PydanticUserError, TypeError, NameError)
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Form:
    """What a method takes. `kind`: nothing; the `variables` object, as it is or as a one-row
    DataFrame; one validated instance made of it; or its members as arguments.

    `validate` is None where nothing is checked, `schema` where any object will do; `parameters`:
    the method's.
    """

    kind: Literal["nothing", "object", "dataframe", "structure", "arguments"]
    parameters: tuple[inspect.Parameter, ...] = ()
    validate: Validate | None = None
    schema: Schema | None = None


def bind(method: Callable[..., Any], *, dataframe: bool = False) -> tuple[Call, Schema | None]:
    """Give the function that takes `variables` and calls the method, and the JSON schema of
    `variables`.

    The schema is None where the method takes any object. `dataframe`: a single parameter without
    annotation gets a one-row DataFrame (the original convention: the class is named
    `transform_predict`). The function raises VariablesInvalid, before the method is called, where
    the variables do not fit. For an `async def` method it returns what the method returns, an
    awaitable.

    Raises ModelBroken where the signature cannot be filled from a JSON object.
    """
    form = form_of(method, dataframe=dataframe)
    return caller(method, form), form.schema


def form_of(method: Callable[..., Any], *, dataframe: bool = False) -> Form:
    """Read a method's signature. Raises ModelBroken where it cannot be filled from a JSON object."""
    parameters = tuple(inspect.signature(method).parameters.values())
    named = tuple(parameter for parameter in parameters if parameter.kind not in VARIADIC)
    hints = {parameter.name: resolve(parameter, method) for parameter in named}
    if not parameters or (not named and parameters[0].kind is inspect.Parameter.VAR_POSITIONAL):
        return Form("nothing", schema={"type": "object", "properties": {}})
    if len(named) == 1:
        [parameter], [hint] = named, hints.values()
        kind = without_none(hint)
        if kind in (Any, object) or is_dict(kind):
            original = dataframe and parameter.annotation is inspect.Parameter.empty
            return Form("dataframe" if original else "object", named)
        if is_dataframe(kind):
            return Form("dataframe", named)
        if is_structure(kind):
            return Form("structure", named, *structure(parameter.name, kind))
    open_ended = parameters[-1].kind is inspect.Parameter.VAR_KEYWORD
    if open_ended and not hints:
        return Form("arguments", parameters)
    adapter = _adapter(hints, _arguments(parameters, hints, open_ended))
    return Form("arguments", parameters, checked(adapter), schema_of(adapter))


def caller(method: Callable[..., Any], form: Form) -> Call:
    """The function that takes `variables` and calls the method, whose form it is."""
    match form.kind:
        case "nothing":
            return lambda _variables: method()
        case "arguments":
            return _by_name(method, form)
    one: Callable[[Any], Any] = _one(method, form.parameters[0])
    if form.kind == "dataframe":
        from pandas import (
            json_normalize,
        )  # only now: a service without such models never pays for pandas

        return lambda variables: one(json_normalize(variables))
    if (validate := form.validate) is not None:
        return lambda variables: one(validate(variables))
    return one


def _one(method: Callable[..., Any], parameter: inspect.Parameter) -> Call:
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
        name = parameter.name
        return lambda variables: method(**{name: variables})
    return method  # nothing in between: the shortest way a prediction can take


def _by_name(method: Callable[..., Any], form: Form) -> Call:
    if (validate := form.validate) is None:
        return lambda variables: method(**variables)
    positional = [p.name for p in form.parameters if p.kind is inspect.Parameter.POSITIONAL_ONLY]
    if not positional:
        return lambda variables: method(**validate(variables))

    def call(variables: Variables) -> Any:
        arguments = validate(variables)
        first = [arguments.pop(name) for name in positional if name in arguments]
        return method(*first, **arguments)

    return call


# --- what variables are turned into ---------------------------------------------------------------


def structure(parameter: str, kind: Any) -> tuple[Validate, Schema]:
    """The validator and the schema of one type that describes the whole object; `parameter` is who
    asks for it.
    """
    adapter = _adapter({parameter: kind}, kind)
    return checked(adapter), schema_of(adapter)


def members(keys: dict[str, Any]) -> TypeAdapter[Any]:
    """The validator of an object with these keys, by name: a type each. Others are left out."""
    return _build(_typed_dict("Variables", keys, ConfigDict(extra="ignore")))


def checked(adapter: TypeAdapter[Any]) -> Validate:
    """A validator that raises VariablesInvalid."""
    validate = adapter.validator.validate_python

    def check(variables: Variables) -> Any:
        try:
            return validate(variables)
        except ValidationError as error:
            raise _invalid(error) from None

    return check


def _arguments(
    parameters: tuple[inspect.Parameter, ...], hints: dict[str, Any], open_ended: bool
) -> Any:
    """The signature as a TypedDict: any name can be a key, and what is left out gets Python's own
    default.

    Variables the signature does not name are left out (with `**kwargs`: passed): `/all` gives the
    same ones to every model.
    """
    keys: dict[str, Any] = {}
    for parameter in parameters:
        if parameter.kind in VARIADIC:
            continue
        hint = hints[parameter.name]
        if parameter.default is None and hint is not Any:
            hint = Optional[hint]  # noqa: UP045 - the hint may be a type that knows no |
        if parameter.default is not inspect.Parameter.empty:
            shown = _shown(parameter.default)
            hint = NotRequired[Annotated[hint, Field(json_schema_extra=shown)] if shown else hint]
        keys[parameter.name] = hint
    return _typed_dict("Variables", keys, ConfigDict(extra="allow" if open_ended else "ignore"))


def _shown(default: Any) -> Schema | None:
    if isinstance(default, float) and not math.isfinite(default):
        return None
    return {"default": default} if isinstance(default, str | int | float | None) else None


# --- pydantic -------------------------------------------------------------------------------------


def _adapter(hints: dict[str, Any], kind: Any) -> TypeAdapter[Any]:
    """The validator of `kind`, which is made of the parameters' `hints`: these are named where
    there can be none.
    """
    try:
        return _build(kind)
    except CANNOT as error:
        for name, hint in hints.items():
            try:
                _build(hint)
            except CANNOT as reason:
                raise broken(
                    name, hint, str(reason).partition("\n")[0].partition(". Set `arb")[0]
                ) from error
        raise


def _build(kind: Any) -> TypeAdapter[Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(_modern(kind, ()))
    _ = adapter.validator.validate_python  # raises where a part of the type is still unknown
    return adapter


def _typed_dict(name: str, keys: dict[str, Any], config: ConfigDict) -> Any:
    make: Any = typing_extensions.TypedDict  # its keys are known at load only
    made = make(name, keys)
    made.__pydantic_config__ = config
    return made


def _modern(hint: Any, within: tuple[Any, ...]) -> Any:
    """The same type with each `typing.TypedDict` as a `typing_extensions.TypedDict`.

    Before Python 3.12 pydantic takes only the latter, and nobody should have to know.
    """
    if (
        type(hint).__module__ == "typing"
        and typing_extensions.is_typeddict(hint)
        and hint not in within
    ):
        keys = {}
        for key, part in typing.get_type_hints(hint, include_extras=True).items():
            wrapper = Required if key in hint.__required_keys__ else NotRequired
            if get_origin(part) in (
                Required,
                NotRequired,
            ):  # the truth where annotations are strings
                wrapper, [part] = get_origin(part), get_args(part)
            keys[key] = wrapper[_modern(part, (*within, hint))]
        made = _typed_dict(hint.__name__, keys, getattr(hint, "__pydantic_config__", ConfigDict()))
        made.__doc__ = hint.__doc__
        return made
    origin, parts = get_origin(hint), get_args(hint)
    changed = tuple(_modern(part, within) for part in parts)
    if all(new is old for new, old in zip(changed, parts, strict=True)):
        return hint
    if origin is types.UnionType:
        return Union[changed]  # noqa: UP007 - of a tuple
    return origin[changed if len(changed) > 1 else changed[0]]


def schema_of(adapter: TypeAdapter[Any]) -> Schema:
    """The JSON schema of what the adapter validates."""
    try:
        return adapter.json_schema()
    except PydanticInvalidForJsonSchema:  # types that validate but that JSON schema has no word for
        return {"type": "object"}


def _invalid(error: ValidationError) -> VariablesInvalid:
    return VariablesInvalid(
        [
            InvalidField(
                ".".join(str(part) for part in item["loc"]) or "variables", redacted(item["msg"])
            )
            for item in error.errors(include_url=False, include_context=False, include_input=False)
        ]
    )
