"""What the annotations of a method's parameters mean, for binding."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Mapping, MutableMapping
from typing import Annotated, Any, Union, get_args, get_origin

import typing_extensions
from pydantic import BaseModel

from modelsync.errors import ModelBroken
from modelsync.models.discovery.source_analysis import FILE, METHOD
from modelsync.models.types import Fault

DICTS = (dict, Mapping, MutableMapping)


def resolve(parameter: inspect.Parameter, method: Callable[..., Any]) -> Any:
    """The type an annotation means, also where it is written as a string; Any where there is none."""
    annotation = parameter.annotation
    if annotation is inspect.Parameter.empty:
        return Any
    function = inspect.unwrap(method)
    scope = getattr(getattr(function, "__func__", function), "__globals__", {})
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return typing.get_type_hints(holder, scope, include_extras=True)["it"]
    except Exception as error:
        text = str(annotation)
        if text.rpartition(".")[2] == "DataFrame":  # imported for type checkers only
            return "DataFrame"
        raise broken(parameter.name, text, f"{type(error).__name__}: {error}") from error


def without_none(hint: Any) -> Any:
    """`X` of `X | None`: variables are always there, so the None does not matter."""
    if get_origin(hint) in (Union, types.UnionType):
        rest = [part for part in get_args(hint) if part is not types.NoneType]
        return rest[0] if len(rest) == 1 else Union[tuple(rest)]  # noqa: UP007 - of a tuple
    return hint


def is_dict(kind: Any) -> bool:
    """Whether it is a dict or Mapping of any kind."""
    return kind in DICTS or get_origin(kind) in DICTS


def is_dataframe(kind: Any) -> bool:
    """Whether it is pandas' DataFrame; asked by name, because most models do not need pandas."""
    if kind == "DataFrame":
        return True
    return getattr(kind, "__name__", "") == "DataFrame" and getattr(
        kind, "__module__", ""
    ).startswith("pandas")


def is_structure(kind: Any) -> bool:
    """Whether it describes the object as a whole: a pydantic model, dataclass or TypedDict, or a
    choice of these.
    """
    if get_origin(kind) is Annotated:
        return is_structure(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return all(is_structure(part) for part in get_args(kind))
    target = get_origin(kind) or kind
    if not isinstance(target, type):
        return False
    return (
        issubclass(target, BaseModel)
        or dataclasses.is_dataclass(target)
        or typing_extensions.is_typeddict(target)
    )


def broken(parameter: str, annotation: Any, reason: str) -> ModelBroken:
    """That a parameter's type cannot be filled."""
    shown = annotation.__qualname__ if isinstance(annotation, type) else annotation
    message = f"{METHOD}: parameter {parameter}: {shown} cannot be filled from JSON: {reason}"
    return ModelBroken(
        Fault("load", message, FILE, hint="take a dict, or types that JSON can be turned into")
    )
