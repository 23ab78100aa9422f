"""Keeps the timers and alarms of a model inside the call that sets them.

The kernel has one timer of each kind for a process, and its signal interrupts whatever the main
thread does then: another model's call, or the event loop. Without a handler it ends the process.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import wraps
from types import FrameType
from typing import Any

from modelsync.models.isolation import guards

SIGNALS = {
    signal.SIGALRM: signal.ITIMER_REAL,
    signal.SIGVTALRM: signal.ITIMER_VIRTUAL,
    signal.SIGPROF: signal.ITIMER_PROF,
}
"""The signals of timers, each with its timer."""

# Not those that `install` puts in their place: they would take our calls for a model's.
_signal, _setitimer = signal.signal, signal.setitimer
_setter = 0  # the thread that has set a timer or a handler in the call that runs there
_installed = False


def install() -> None:
    """Ignore timers without a handler; have those that a call sets end with the call."""
    global _installed
    _reset_handlers()
    if not _installed:
        _installed = True
        vars(signal).update(
            signal=_recorded(signal.signal, _is_of_timer),
            setitimer=_recorded(signal.setitimer),
            alarm=_recorded(signal.alarm),
        )
        guards.after_calls(_end)


def clear() -> None:
    """Stop all timers of the process."""
    for timer in SIGNALS.values():
        with suppress(signal.ItimerError):
            _setitimer(timer, 0)


def _end() -> bool:
    """Take back what the call of this thread has set; true while a call of another one runs."""
    global _setter
    if _setter != threading.get_ident():
        return _setter != 0
    clear()
    _reset_handlers()
    _setter = 0
    return False


def _reset_handlers() -> None:
    if threading.current_thread() is threading.main_thread():
        for number in SIGNALS:
            # A function and not SIG_IGN, which the programs that a model starts would inherit.
            _signal(number, _ignore)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing: nobody waits for this timer any more."""


def _is_of_timer(number: Any, *_: Any) -> bool:
    return number in SIGNALS


def _recorded(
    change: Callable[..., Any], when: Callable[..., bool] = lambda *_: True
) -> Callable[..., Any]:
    @wraps(change)
    def record(*arguments: Any) -> Any:
        global _setter
        before = change(*arguments)
        if when(*arguments):
            _setter = threading.get_ident()
            guards.moved = True
        return before

    return record
