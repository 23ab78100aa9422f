"""Lets models use asyncio as a script does, where an event loop of ours runs in their thread."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def hidden(call: Callable[P, R]) -> Callable[P, R]:
    """Return the function, called with the running loop of its thread hidden.

    It may call `asyncio.run`, or run a loop of its own, then.
    """
    from asyncio import events  # here: a runner that needs no asyncio does not import it

    @wraps(call)
    def call_hidden(*args: P.args, **kwargs: P.kwargs) -> R:
        running = events._get_running_loop()
        events._set_running_loop(None)
        try:
            try:
                return call(*args, **kwargs)
            finally:
                events._set_running_loop(running)
        except BaseException:  # an interrupt may have come in the line of `finally`
            events._set_running_loop(running)
            raise

    return call_hidden


def install() -> None:
    """Have `asyncio.get_event_loop` make a loop in each thread, as in the main one of a script.

    From Python 3.14 on it makes none anywhere. Nothing is done before asyncio is imported.
    """
    asyncio = sys.modules.get("asyncio")
    if asyncio is None or sys.version_info >= (3, 14):
        return
    from modelsync.models.isolation.loop_policy import LoopPerThread

    if type(asyncio.get_event_loop_policy()) is not LoopPerThread:
        asyncio.set_event_loop_policy(LoopPerThread())
