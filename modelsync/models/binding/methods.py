"""Binds the `variables` of a request to a model's method, by the method's signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Optional

from modelsync.models.binding import (
    digits,
    field_defaults,
    signature,
    validation,
    variable_names,
)
from modelsync.models.binding.signature import VARIADIC
from modelsync.models.binding.typehints import (
    Call,
    Schema,
    Validate,
    Variables,
    is_dataframe,
    is_dict,
    is_structure,
    resolve,
    without_none,
)
from modelsync.models.convention import METHOD
from modelsync.models.request_form import Digits


@dataclass(frozen=True, slots=True)
class Form:
    """What a method takes.

    `kind`: nothing; the `variables` object, as it is or as a DataFrame of one row; one validated
    instance of a structure; or the members of `variables` as arguments. `parameters`: those of the
    method. `validate` is None if nothing is validated, `schema` if any object is accepted.
    `digits`: how numbers are read for it.
    """

    kind: Literal["nothing", "object", "dataframe", "structure", "arguments"]
    parameters: tuple[inspect.Parameter, ...] = ()
    validate: Validate | None = None
    schema: Schema | None = None
    digits: Digits = "doubles"


def bind(method: Callable[..., Any], *, dataframe: bool = False) -> tuple[Call, Schema | None]:
    """Return the function that takes `variables` and calls the method, and the JSON schema of
    `variables`.

    The schema is None if the method takes any object. `dataframe`: a single parameter without
    annotation gets a DataFrame of one row (the original convention: the class is named
    `transform_predict`). The function raises VariablesInvalid, before it calls the method, if the
    variables do not fit. For an `async def` method it returns the method's awaitable.

    Raises ModelBroken if the signature cannot be filled from a JSON object.
    """
    form = form_of(method, dataframe=dataframe)
    return caller(method, form), form.schema


def form_of(method: Callable[..., Any], *, dataframe: bool = False) -> Form:
    """Read a method's signature; `dataframe` as for `bind`.

    Raises ModelBroken if the signature cannot be filled from a JSON object.
    """
    parameters, function = signature.of(method, METHOD)
    named = tuple(parameter for parameter in parameters if parameter.kind not in VARIADIC)
    hints = {parameter.name: resolve(parameter, function) for parameter in named}
    if not parameters:
        return Form("nothing", schema={"type": "object", "properties": {}})
    if not named and len(parameters) == 1 and parameters[0].kind is VARIADIC[0]:
        return Form("object", parameters, digits="integers")
    if len(named) == 1 and (form := _whole_object(named[0], hints[named[0].name], dataframe)):
        return form
    open_ended = parameters[-1].kind is inspect.Parameter.VAR_KEYWORD
    if open_ended and not hints:
        return Form("arguments", parameters, digits="integers")
    wanted = digits.of([*hints.values(), *([Any] if open_ended else [])])
    return Form("arguments", parameters, *_arguments(named, hints, open_ended=open_ended), wanted)


def _whole_object(parameter: inspect.Parameter, hint: Any, dataframe: bool) -> Form | None:
    """Return the form of a method whose one parameter takes `variables` as a whole, else None."""
    kind = without_none(hint)
    if kind in (Any, object) or is_dict(kind):
        original = dataframe and parameter.annotation is inspect.Parameter.empty
        if original:
            return Form("dataframe", (parameter,))
        return Form("object", (parameter,), digits=digits.of([kind]))
    if is_dataframe(kind):
        return Form("dataframe", (parameter,))
    if is_structure(kind):
        validate, schema = validation.structure(parameter.name, kind)
        validate = variable_names.normalizing(validate, schema.get("properties", ()))
        return Form("structure", (parameter,), validate, schema, digits.of([kind]))
    return None


def caller(method: Callable[..., Any], form: Form) -> Call:
    """Return the function that takes `variables` and calls a method of this form."""
    match form.kind:
        case "nothing":
            return lambda _variables: method()
        case "arguments":
            return _by_name(method, form)
    one: Callable[[Any], Any] = _one(method, form.parameters[0])
    if form.kind == "dataframe":
        # Imported here: a service without such models never loads pandas.
        from pandas import json_normalize

        return lambda variables: one(json_normalize(variables))
    if (validate := form.validate) is not None:
        return lambda variables: one(validate(variables))
    return one


def _one(method: Callable[..., Any], parameter: inspect.Parameter) -> Call:
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
        name = parameter.name
        return lambda variables: method(**{name: variables})
    return method  # the method itself: a call of it costs nothing more


def _by_name(method: Callable[..., Any], form: Form) -> Call:
    if (validate := form.validate) is None:
        return lambda variables: method(**variables)
    positional = [p for p in form.parameters if p.kind is inspect.Parameter.POSITIONAL_ONLY]
    if not positional:
        return lambda variables: method(**validate(variables))

    def call(variables: Variables) -> Any:
        arguments = validate(variables)
        first = [arguments.pop(one.name, one.default) for one in positional]
        return method(*first, **arguments)

    return call


def _arguments(
    parameters: tuple[inspect.Parameter, ...], hints: dict[str, Any], *, open_ended: bool
) -> tuple[Validate, Schema]:
    """Return the validator and the JSON schema of a signature with these named parameters."""
    empty = inspect.Parameter.empty
    defaults = {one.name: one.default for one in parameters if one.default is not empty}
    values = field_defaults.split(hints, defaults)
    optional = {
        name: Optional[hint]  # noqa: UP045 - the hint may be a type that knows no |
        if hint is not Any and defaults.get(name, empty) is None
        else hint
        for name, hint in hints.items()
    }
    variables = {variable_names.variable(name): name for name in optional}
    validate, schema = validation.arguments(
        {variable_names.variable(name): hint for name, hint in optional.items()},
        {variable_names.variable(name): default for name, default in defaults.items()},
        open_ended=open_ended,
    )
    if values:
        given = {variable_names.variable(name): value for name, value in values.items()}
        validate = field_defaults.filling(validate, given)
    renamed = {variable: name for variable, name in variables.items() if variable != name}
    validate = variable_names.normalizing(validate, variables)
    return variable_names.renaming(validate, renamed) if renamed else validate, schema
