"""The signature of a method as its author wrote it, also below decorators, and whether it waits.

`functools.wraps` keeps it; a plain wrapper `(*args, **kwargs)` hides it. Then the function that is
wrapped is looked for in what the wrapper holds.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from inspect import Parameter
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any, NamedTuple

from modelsync.errors import ModelBroken
from modelsync.models.convention import FILE
from modelsync.models.types import Fault

VARIADIC = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
BY_PLACE = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)

Parameters = tuple[Parameter, ...]

MAX_DEPTH = 8
"""Wrappers of wrappers that are looked into."""

ENDING = {"run_until_complete", "run_coroutine_threadsafe", "async_to_sync"}
RUNNING = {"asyncio", "anyio", "trio", "uvloop", "Runner", "runner", "loop"}
"""Names in a wrapper that runs a coroutine to its end; the second ones beside `run`."""


class Signature(NamedTuple):
    """`parameters` of a call, without `self`; `function`: the one whose module defines the names in
    their annotations.
    """

    parameters: Parameters
    function: Callable[..., Any]


def of(method: Callable[..., Any], name: str) -> Signature:
    """Return the signature with which a method is to be called; `name` is that of its `def`.

    Raises ModelBroken if nothing fills its `self`, TypeError if it cannot be called.
    """
    own = _parameters(method)
    found = Signature(own, inspect.unwrap(method))
    if hides(own):
        for function, bound in _layers(method, name):
            if not hides(_parameters(function)):
                found = Signature(_below(function, bound, own), function)
                break
    elif hasattr(method, "__wrapped__") and any(one.kind in VARIADIC for one in own):
        found = Signature(tuple(inspect.signature(method).parameters.values()), found.function)
    # Else the parameters are its own: so a wrapper is called, whatever it wraps.
    if found.parameters and found.parameters[0].name == "self":
        raise _unfilled(method, name)
    return found


def hides(parameters: Parameters) -> bool:
    """Return whether parameters tell nothing: `(*args, **kwargs)`."""
    return bool(parameters) and all(one.kind in VARIADIC for one in parameters)


def _parameters(function: Callable[..., Any]) -> Parameters:
    try:
        found = inspect.signature(function, follow_wrapped=False).parameters.values()
    except ValueError:  # of a wrapper in C, such as that of functools.lru_cache
        return tuple(Parameter(kind.name, kind) for kind in VARIADIC)
    # `partial(predict, model=MODEL)` has chosen these already.
    chosen = function.keywords if isinstance(function, partial) else {}
    return tuple(one for one in found if one.name not in chosen)


def _below(function: Callable[..., Any], bound: int, own: Parameters) -> Parameters:
    """Return the parameters of a wrapped function without the first ones, that are bound."""
    parameters = _parameters(function)[bound:]
    if own[-1].kind is Parameter.VAR_KEYWORD:
        return parameters
    return tuple(  # `wrapper(*args)` passes nothing by name
        one.replace(kind=Parameter.POSITIONAL_ONLY) if one.kind in BY_PLACE else one
        for one in parameters
    )


def _unfilled(method: Callable[..., Any], name: str) -> ModelBroken:
    kind = type(method).__name__
    reason = "is a plain function" if isinstance(method, FunctionType) else f"is an object ({kind})"
    message = f"nothing fills the parameter self of {name}, which {reason}, no method"
    hint = (
        "write it as a def of the class; a decorator must return a function, or an object "
        "with __get__"
    )
    return ModelBroken(Fault("load", message, FILE, hint=hint))


# --- wrappers -------------------------------------------------------------------------------------


def _layers(method: Callable[..., Any], name: str) -> Iterator[tuple[Any, int]]:
    """Yield a method and what it wraps, outermost first, each with how many of its first arguments
    are bound.
    """
    layer: Any = method
    bound = 0
    for _ in range(MAX_DEPTH):
        yield layer, bound
        layer, more = _wrapped(layer, name)
        bound += more
        if layer is None:
            return


def _wrapped(layer: Any, name: str) -> tuple[Any, int]:
    """Return what a callable wraps, and how many first arguments it adds; None if that is not
    clear.
    """
    if isinstance(layer, partial):
        return layer.func, len(layer.args)
    if not isinstance(layer, MethodType):
        return getattr(layer, "__wrapped__", None) or _held_by(layer, name), 0
    if getattr(layer.__func__, "__name__", "") == "__call__":  # of an object that decorates
        return _held_by(layer.__self__, name), 0
    return getattr(layer, "__wrapped__", None) or _held_by(layer.__func__, name), 1


def _held_by(holder: Any, name: str) -> Any:
    """Return the function of that name which a callable holds, in its closure or its attributes;
    else the only one that it holds; None if that is not clear.
    """
    if isinstance(holder, FunctionType):
        values = [_content(cell) for cell in holder.__closure__ or ()]
    elif isinstance(holder, type):
        return None
    else:
        values = list(getattr(holder, "__dict__", {}).values())
    held = [one for one in values if isinstance(one, FunctionType | MethodType)]
    named = [one for one in held if one.__name__ == name]
    candidates = named or (held if hides(_parameters(holder)) else [])
    return candidates[0] if len({id(one) for one in candidates}) == 1 else None


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet assigned
        return None


# --- waiting --------------------------------------------------------------------------------------


def is_async(method: Callable[..., Any] | None, name: str) -> bool:
    """Return whether a call gives something to wait for: an `async def`, also below a decorator
    that does not wait itself.
    """
    for layer, _ in _layers(method, name) if method else ():
        called = inspect.getattr_static(type(layer), "__call__", None)
        if inspect.iscoroutinefunction(layer) or inspect.iscoroutinefunction(called):
            return True
        if _runs_coroutines(layer):
            return False
    return False


def _runs_coroutines(layer: Any) -> bool:
    """Return whether a wrapper runs the coroutine that it gets, by the names in its code."""
    if (code := _code(layer)) is None:
        return type(layer).__name__ == "AsyncToSync"  # of asgiref
    names = {*code.co_names, *code.co_freevars}
    return not names.isdisjoint(ENDING) or ("run" in names and not names.isdisjoint(RUNNING))


def place(function: Any, folder: Path) -> tuple[str, int | None]:
    """Return the file, relative to the model's folder, and the line of what a callable wraps.

    That is `etls.py`, without a line, for code from elsewhere.
    """
    for layer, _ in _layers(function, getattr(function, "__name__", "")) if function else ():
        code = _code(inspect.unwrap(layer))
        if code and Path(code.co_filename).is_relative_to(folder):
            return str(Path(code.co_filename).relative_to(folder)), code.co_firstlineno
    return FILE, None


def _code(layer: Any) -> Any:
    plain = layer.__func__ if isinstance(layer, MethodType) else layer
    called = inspect.getattr_static(type(plain), "__call__", None)
    return getattr(plain, "__code__", None) or getattr(called, "__code__", None)
