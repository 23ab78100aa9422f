"""Lets models use asyncio as a script does, where an event loop of ours runs in their thread."""

from __future__ import annotations

import asyncio
import sys
from asyncio import events
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def hidden(call: Callable[P, R]) -> Callable[P, R]:
    """Return the function, called with the running loop of its thread hidden.

    It may call `asyncio.run` and `loop.run_until_complete` then.
    """

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

    From Python 3.14 on it makes none anywhere.
    """
    if sys.version_info < (3, 14) and type(asyncio.get_event_loop_policy()) is not _LoopPerThread:
        asyncio.set_event_loop_policy(_LoopPerThread())


if sys.version_info < (3, 14):

    class _LoopPerThread(asyncio.DefaultEventLoopPolicy):
        """Makes the loop of a thread when it is asked for, and another one after its end."""

        def get_event_loop(self) -> asyncio.AbstractEventLoop:
            """Return the loop of this thread."""
            try:
                loop = super().get_event_loop()
            except RuntimeError:
                loop = None
            if loop is None or loop.is_closed():
                loop = self.new_event_loop()
                self.set_event_loop(loop)
            return loop
