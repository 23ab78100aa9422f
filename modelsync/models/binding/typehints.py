"""Resolves the annotations of a method's parameters, and classifies the types."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping, MutableMapping
from typing import Annotated, Any, Union, get_args, get_origin

from modelsync.errors import ModelBroken
from modelsync.models.convention import FILE, METHOD
from modelsync.models.types import Fault

PYDANTIC = ("pydantic", "pydantic.v1")
"""The modules whose `BaseModel` is one: version 2 brings version 1."""

DICTS = (dict, Mapping, MutableMapping)

Variables = dict[str, Any]
Schema = dict[str, Any]
Call = Callable[[Variables], Any]
Validate = Callable[[Variables], Any]
"""Takes `variables` and returns the validated value; raises VariablesInvalid."""


def resolve(parameter: inspect.Parameter, method: Callable[..., Any]) -> Any:
    """Return the type that a parameter is annotated with, also as a string; Any without annotation.

    Raises ModelBroken if a name in it is not defined.
    """
    annotation = parameter.annotation
    if annotation is inspect.Parameter.empty:
        return Any
    try:
        return evaluate(annotation, method)
    except Exception as error:
        text = str(annotation)
        if text.rpartition(".")[2] == "DataFrame":  # imported for type checkers only
            return "DataFrame"
        raise unfillable(parameter.name, text, f"{type(error).__name__}: {error}") from error


def evaluate(annotation: Any, method: Callable[..., Any]) -> Any:
    """Return the type that an annotation of a method means, also as a string. Raises NameError."""
    function = inspect.unwrap(method)
    return _evaluated(
        annotation, getattr(getattr(function, "__func__", function), "__globals__", {})
    )


def _evaluated(annotation: Any, scope: dict[str, Any]) -> Any:
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    while True:
        try:
            return typing.get_type_hints(holder, scope, include_extras=True)["it"]
        except NameError as error:
            from modelsync.models.binding import type_imports  # here: it imports ast

            name = str(error.name)
            try:
                scope = {**scope, name: type_imports.bring(name, scope)}
            except (LookupError, OSError, SyntaxError):
                raise error from None


def without_none(hint: Any) -> Any:
    """Return `X` for `X | None`: a request always has variables, so None never occurs."""
    if get_origin(hint) in (Union, types.UnionType):
        rest = [part for part in get_args(hint) if part is not types.NoneType]
        return rest[0] if len(rest) == 1 else Union[tuple(rest)]  # noqa: UP007 - of a tuple
    return hint


def is_dict(kind: Any) -> bool:
    """Return whether the type is a dict or Mapping, with or without types of keys and values."""
    return kind in DICTS or get_origin(kind) in DICTS


def is_dataframe(kind: Any) -> bool:
    """Return whether the type is pandas' DataFrame, by its name: most models do not need pandas."""
    if kind == "DataFrame":
        return True
    return getattr(kind, "__name__", "") == "DataFrame" and getattr(
        kind, "__module__", ""
    ).startswith("pandas")


def is_structure(kind: Any) -> bool:
    """Return whether the type describes a whole object: a pydantic model, a dataclass, a TypedDict
    or a union of these.
    """
    if get_origin(kind) is Annotated:
        return is_structure(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return all(is_structure(part) for part in get_args(kind))
    target = get_origin(kind) or kind
    if not isinstance(target, type):
        return False
    return _is_pydantic_model(target) or dataclasses.is_dataclass(target) or is_typed_dict(target)


def is_typed_dict(kind: Any) -> bool:
    """Return whether the type is a TypedDict, of typing or of typing_extensions."""
    extensions = sys.modules.get("typing_extensions", typing)  # who defines one has imported it
    return bool(extensions.is_typeddict(kind)) or typing.is_typeddict(kind)


def _is_pydantic_model(kind: type) -> bool:
    bases = [getattr(sys.modules.get(name), "BaseModel", None) for name in PYDANTIC]
    return any(base is not None and issubclass(kind, base) for base in bases)


def unfillable(parameter: str, annotation: Any, reason: str) -> ModelBroken:
    """Return the error for a parameter whose type cannot be filled from JSON."""
    shown = annotation.__qualname__ if isinstance(annotation, type) else annotation
    message = f"{METHOD}: parameter {parameter}: {shown} cannot be filled from JSON: {reason}"
    return ModelBroken(
        Fault("load", message, FILE, hint="take a dict, or types that JSON can be turned into")
    )
