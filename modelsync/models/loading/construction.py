"""Makes the one instance of a model: of its class, by a factory, or as its file has made it.

The constructor gets the folder's path if it takes it: as its only argument without a default, or as
one with a default that is named like a path, or whose default is one.
"""

from __future__ import annotations

import inspect
import os
import re
import typing
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from inspect import Parameter
from os import PathLike
from pathlib import Path, PurePath
from types import MethodType, ModuleType, UnionType
from typing import Any, NoReturn

from modelsync.errors import ModelBroken
from modelsync.models.binding import calls, signature
from modelsync.models.binding.signature import VARIADIC
from modelsync.models.convention import BATCH, FILE, METHOD
from modelsync.models.types import Fault, ModelSpec

PATH_NAMES = {"path", "dir", "directory", "folder", "root", "base", "location", "here", "home"}


class Constructor(typing.NamedTuple):
    """The call that makes an instance; `takes_path`: it surely wants the folder's path."""

    make: Callable[[], Any]
    takes_path: bool


def make(found: Any, spec: ModelSpec, module: ModuleType) -> Any:
    """Return the instance of a model, whose class, factory or object is `found` in its module.

    Raises ModelBroken if it cannot be made, and whatever the model's code raises.
    """
    name, path = spec.class_name or spec.function, f"{spec.path.absolute()}/"
    if not isinstance(found, type):
        if _answers(found, spec):
            return found
        if not _is_factory(found, name):
            raise _placed(_wrong_kind(found, name, known=name in vars(module)), name, module)
    own = _instances(module, found)
    try:
        constructor = _constructor(found, name, path)
    except ModelBroken as error:
        if len(own) == 1:
            return own[0]
        raise _placed(error, name, module) from None
    return own[0] if len(own) == 1 and not constructor.takes_path else constructor.make()


def _answers(found: Any, spec: ModelSpec) -> bool:
    """Return whether something is an object of a model, which a proxy may be too."""
    names = (BATCH, *spec.methods)
    static = any(inspect.getattr_static(found, name, None) is not None for name in names)
    return static or calls.method_of(found, METHOD) is not None


def _is_factory(found: Any, name: str) -> bool:
    return (
        inspect.isroutine(found)
        or isinstance(found, partial)
        or (callable(found) and _class_behind(found, name) is not None)
    )


def without_method(instance: object, spec: ModelSpec, module: ModuleType) -> ModelBroken:
    """Return the error for an instance that cannot answer anything."""
    name, kind = spec.class_name or spec.function, type(instance).__name__
    message = f"class {name} has no {METHOD} method"
    if kind != name:
        message = f"{name} is a {kind} without {METHOD}"
    return _placed(ModelBroken(Fault("load", message, FILE)), name, module)


def _placed(error: ModelBroken, name: str, module: ModuleType) -> ModelBroken:
    """Return the error with the line in which the model's file binds a name."""
    source = Path(module.__file__ or "").read_text("utf-8", "replace")
    found = re.search(rf"^[ \t]*(class |def |async def |from .*\b|){name}\b", source, re.MULTILINE)
    line = source.count("\n", 0, found.end()) + 1 if found else None
    assert isinstance(error.fault, Fault)
    return ModelBroken(replace(error.fault, line=line))


def _wrong_kind(found: Any, name: str, *, known: bool) -> ModelBroken:
    if not known:
        return ModelBroken(Fault("load", f"{FILE} defines no class {name}", FILE))
    shown = "None" if found is None else f"a {type(found).__name__} without {METHOD}"
    hint = "a decorator, or a function that makes it, must return it" if found is None else None
    return ModelBroken(Fault("load", f"{name} is {shown}", FILE, hint=hint))


def _instances(module: ModuleType, kind: Any) -> list[Any]:
    """Return the objects of a class that the file itself has made, each once."""
    made = {id(value): value for value in vars(module).values() if kind in type(value).__mro__}
    return list(made.values())


# --- the constructor ------------------------------------------------------------------------------


def _constructor(kind: Callable[..., Any], name: str, path: str) -> Constructor:
    """Return how a class or factory is called. Raises ModelBroken if the path is not enough."""
    parameters, scope = _signature(kind, name)
    if parameters is None:
        return Constructor(partial(kind, path), takes_path=False)
    named = [one for one in parameters if one.kind not in VARIADIC]
    required = [one for one in named if one.default is one.empty]
    if len(required) > 1:
        _refuse_arguments(name, required)
    if not named and parameters and parameters[0].kind is Parameter.VAR_POSITIONAL:
        return Constructor(partial(kind, path), takes_path=False)
    taking = required or [one for one in named if _is_path(one, scope)]
    if not taking:
        return Constructor(kind, takes_path=False)
    parameter = taking[0]
    hint = _hint(parameter, scope)
    if not _admits_path(hint):
        _refuse_arguments(name, [parameter])
    value = Path(path) if _is_path_type(hint) or isinstance(parameter.default, PurePath) else path
    call = (
        partial(kind, value)
        if parameter is parameters[0] and parameter.kind is not Parameter.KEYWORD_ONLY
        else partial(kind, **{parameter.name: value})
    )
    return Constructor(call, takes_path=_is_path(parameter, scope))


def _signature(
    kind: Callable[..., Any], name: str
) -> tuple[tuple[Parameter, ...] | None, Callable[..., Any]]:
    """Return the parameters of a class or factory and the function that has them, whose module
    defines their annotations; None for a class in C that does not tell them.
    """
    try:
        parameters = tuple(inspect.signature(kind).parameters.values())
    except ValueError:
        return None, kind
    if not signature.hides(parameters):
        return parameters, _function(kind)
    if not isinstance(kind, type):
        held = _class_behind(kind, name)
        return _signature(held, name) if held else (parameters, kind)
    for attribute, step, passes_on in _steps(kind):
        own, function = signature.of(step, attribute)
        if not passes_on or not signature.hides(own):
            return own, function
    return (), kind


def _steps(kind: type) -> Iterator[tuple[str, Callable[..., Any], bool]]:
    """Yield the functions to which a call of a class gives its arguments, with their names, bound
    to it; and whether they may only pass these on.
    """
    for maker, name in ((type(kind), "__call__"), (kind, "__new__")):
        function = getattr(maker, name)
        if inspect.isfunction(function):
            yield name, MethodType(function, kind), True
    for base in kind.__mro__:
        function = vars(base).get("__init__")
        if inspect.isfunction(function):
            yield "__init__", MethodType(function, kind), "super" in function.__code__.co_names


def _class_behind(factory: Any, name: str) -> type | None:
    """Return the class of that name that a decorator has hidden in a function or an object."""
    values = [cell.cell_contents for cell in getattr(factory, "__closure__", None) or ()]
    values += getattr(factory, "__dict__", {}).values()
    named = [one for one in values if isinstance(one, type) and one.__name__ == name]
    return named[0] if named else None


def _function(kind: Callable[..., Any]) -> Callable[..., Any]:
    found = getattr(kind, "__init__", kind) if isinstance(kind, type) else kind
    plain: Callable[..., Any] = inspect.unwrap(found)
    return plain


# --- which parameter takes the path ---------------------------------------------------------------


def _is_path(parameter: Parameter, scope: Callable[..., Any]) -> bool:
    """Return whether a parameter is for the folder's path, by its type, its default and its name.

    A default that lies in the folder, which is the working directory now, is something of it.
    """
    default, hint = parameter.default, _hint(parameter, scope)
    if default is parameter.empty or default is None:
        return _admits_path(hint) and (_is_path_type(hint) or _is_path_name(parameter.name))
    if not isinstance(default, str | PurePath):
        return False
    text = str(default)
    if text in (".", "./") or Path(text).is_absolute():
        return True
    if Path(text).suffix or (text and os.path.exists(text)):  # noqa: PTH110  of any text
        return False
    return text.endswith("/") or _is_path_name(parameter.name)


def _is_path_name(name: str) -> bool:
    words = name.lower().split("_")
    return not PATH_NAMES.isdisjoint(words) or words[-1].endswith(("path", "dir", "folder"))


def _is_path_type(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, PurePath)


def _hint(parameter: Parameter, scope: Callable[..., Any]) -> Any:
    """Return the type of a parameter; Any without one, and for one that cannot be told."""
    annotation = parameter.annotation
    if not isinstance(annotation, str):
        return Any if annotation is parameter.empty else annotation
    try:
        return eval(annotation, getattr(scope, "__globals__", {}))  # noqa: S307  the model's code
    except Exception:  # noqa: BLE001  a name for type checkers
        return Any


def _admits_path(hint: Any) -> bool:
    """Return whether a type can be a path: in doubt it can."""
    kind = typing.get_origin(hint)
    if kind in (typing.Union, UnionType, typing.Annotated):
        return any(map(_admits_path, typing.get_args(hint)))
    kind = kind or hint
    if not isinstance(kind, type) or kind in (Any, PathLike):
        return True
    with suppress(TypeError):  # of a Protocol
        return issubclass(str, kind) or issubclass(kind, str | PurePath)
    return True


def _refuse_arguments(name: str, required: list[Parameter]) -> NoReturn:
    wanted = " and ".join(str(one) for one in required)
    message = f"{name}(...) needs {wanted}, but a model's class gets its folder's path alone"
    hint = (
        "give them defaults, load what they need in __init__(self, path), or make the object "
        f"yourself at the top of {FILE}: model = {name}(...)"
    )
    raise ModelBroken(Fault("load", message, FILE, hint=hint))
