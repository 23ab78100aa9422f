"""The JSON schema of a model's answers, by the return annotation of its predicting method."""

from __future__ import annotations

import collections.abc
import inspect
from collections.abc import Callable, Iterable
from typing import Annotated, Any, get_args, get_origin

from modelsync.models.binding import signature, validation
from modelsync.models.binding.typehints import (
    Schema,
    evaluate,
    is_dict,
    is_structure,
    without_none,
)
from modelsync.models.convention import BATCH, METHOD
from modelsync.models.schemas import json_values

_AWAITED = (collections.abc.Awaitable, collections.abc.Coroutine)


def schema_of(instance: Any, method_of: Callable[[Any, str], Any]) -> Schema | None:
    """Return the schema of the answers of an instance, or of the functions of a module.

    `method_of` finds its methods. None if no annotation tells what an answer holds, such as
    `-> dict`, or it cannot be evaluated: then the model answers all the same.
    """
    for name, listed in ((METHOD, False), (BATCH, True)):
        try:
            method = method_of(instance, name)
            found = _schema(_returned(method, name), listed=listed) if method else None
        except Exception:  # noqa: BLE001  annotations are code of the model
            found = None
        if found:
            return json_values.plain(found)
    return None


def _returned(method: Callable[..., Any], name: str) -> Any:
    """Return the annotation of what a call gives, Any without one."""
    function = signature.of(method, name).function
    annotation = inspect.signature(function, follow_wrapped=False).return_annotation
    return Any if annotation is inspect.Signature.empty else evaluate(annotation, function)


def _schema(hint: Any, *, listed: bool) -> Schema | None:
    """Return the schema of a type of results; `listed`: the method returns a list of them."""
    if listed:
        hint = _items(hint)
    elif get_origin(hint) in _AWAITED:
        hint = get_args(hint)[-1]
    kind = without_none(hint)
    plain = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if is_dict(plain) and (len(get_args(plain)) != 2 or get_args(plain)[1] in (Any, object)):
        return None
    return validation.response(kind) if is_structure(kind) or is_dict(plain) else None


def _items(hint: Any) -> Any:
    """Return the type of a list's items, Any if there is none."""
    origin, parts = get_origin(hint), get_args(hint)
    is_list = isinstance(origin, type) and issubclass(origin, Iterable)
    return parts[0] if is_list and parts and not is_dict(hint) else Any
