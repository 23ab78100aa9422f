"""The optional methods `start(self)` and `stop(self)` of a model.

`start` opens what processes cannot share: connections, threads, devices. It runs once in each
process that calls the model, after the fork and before the first call; `stop` runs once when the
process ends or the model is unloaded. Both may be `async def`.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from contextlib import closing
from contextvars import Context
from dataclasses import replace
from typing import Any

from modelsync.errors import ModelBroken
from modelsync.models.diagnosis import from_exception
from modelsync.models.isolation import guards
from modelsync.models.types import LoadedModel

log = logging.getLogger(__name__)

Wait = Callable[[Awaitable[Any]], Any]
"""Waits for what an `async def` has returned, in the loop that calls the model, and in a context
that is made of the model's.
"""


def method(instance: object, name: str) -> Callable[[], Any] | None:
    """Return the method of that name, None if the class has none that needs no argument.

    It is looked for in the class: an attribute `self.start = 0.5` is no method, nor is what
    `__getattr__` makes up.
    """
    static = inspect.getattr_static(type(instance), name, None)
    if not (callable(static) or isinstance(static, classmethod | staticmethod)):
        return None
    found = getattr(instance, name)
    try:
        inspect.signature(found).bind()
    except (TypeError, ValueError):  # it takes arguments, so it is a method of another meaning
        return None
    return found  # type: ignore[no-any-return]


def wait_here(awaitable: Awaitable[Any]) -> Any:
    """Wait in a loop of this thread, which ends afterwards."""
    import asyncio  # here: it takes a small runner 3 MB

    with closing(asyncio.Runner()) as runner:
        return runner.run(awaited(awaitable))


def start(model: LoadedModel, wait: Wait = wait_here) -> None:
    """Call the model's `start`, if it has one, in the model's context and in this thread.

    Raises ModelBroken with the fault of stage `load`, whatever the method raises.
    """
    if model.start is None:
        return
    try:
        _call(model.start, model.context, wait)
    except BaseException as error:  # noqa: BLE001  model code: SystemExit is the model's fault
        fault = from_exception(error, model.spec, "load")
        raise ModelBroken(replace(fault, message=f"start: {fault.message}")) from None
    finally:
        guards.restore_cwd()


def stop(model: LoadedModel, wait: Wait = wait_here) -> None:
    """Call the model's `stop`, if it has one, in a copy of its context and in this thread.

    Whatever it raises is logged. The caller limits the time.
    """
    if model.stop is None:
        return
    try:
        _call(model.stop, model.context.copy(), wait)
    except BaseException as error:  # noqa: BLE001  model code
        fault = from_exception(error, model.spec, "load")
        log.error("%s: stop: %s", model.name, fault, extra={"fields": {"model": model.name}})
    finally:
        guards.restore_cwd()


def _call(of_model: Callable[[], Any], context: Context, wait: Wait) -> None:
    result = context.run(of_model)
    if inspect.isawaitable(result):
        wait(result)


async def awaited(awaitable: Awaitable[Any]) -> Any:
    """Return what an awaitable gives: a loop takes coroutines only."""
    return await awaitable
