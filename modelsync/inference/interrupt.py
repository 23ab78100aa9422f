"""Interrupts of running calls: `CallTimeout`, raised by one thread inside another.

CPython raises it when the thread next executes Python code: at once in a loop in Python, after the
return of a system call or of a function in C that blocks. That may be in the line after a lock was
taken and before the `try` that would release it. `interrupt_soon` therefore waits for another line,
and `release_locks` frees what the thread still holds of logging's locks, which all threads need.
"""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from time import monotonic, sleep
from types import FrameType

from modelsync.inference.threads import start_thread

TAKES_LOCKS = {"acquire", "release", "_acquireLock", "_releaseLock", "__enter__", "__exit__"}
"""Names of functions that take or release a lock, and that their callers mention."""

PATIENCE = 0.5
"""Seconds for which an interrupt waits until the thread is in another line."""

PAUSE = 0.002
"""Seconds between two looks at the thread."""

LOGGING_MAX = 2.0
"""Seconds that a thread may hold a lock of logging after it was interrupted."""


class CallTimeout(BaseException):
    """Raised inside a thread whose call has passed its deadline.

    A BaseException, so that `except Exception` in a model does not catch it.
    """


def interrupt(thread_id: int) -> None:
    """Raise CallTimeout inside the thread with this `threading.get_ident`."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread_id), ctypes.py_object(CallTimeout)
    )


def cancel_interrupt(thread_id: int) -> None:
    """Take back an interrupt that the thread has not raised yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), None)


def interrupt_soon(
    thread_id: int, lock: threading.Lock, wanted: Callable[[], bool], *, after: float = 0.0
) -> None:
    """Interrupt a thread once, `after` so many seconds, where it takes no lock; returns at once.

    It is interrupted only while `wanted()`, which is asked with `lock` held: then the thread cannot
    go on to another call. After `PATIENCE` seconds it is interrupted in any line. If logging cannot
    be used afterwards, the process ends: each thread that logs would wait for ever. Raises
    Overloaded if the system starts no thread for it.
    """
    start_thread(lambda: _interrupt_soon(thread_id, lock, wanted, after), "modelsync-interrupt")


def _interrupt_soon(
    thread_id: int, lock: threading.Lock, wanted: Callable[[], bool], after: float
) -> None:
    """Wait for a line that takes no lock, interrupt, and see that logging works afterwards."""
    sleep(after)
    deadline = monotonic() + PATIENCE
    while True:
        with lock:
            if not wanted():
                return
            if interrupt_safely(thread_id):
                break
            if monotonic() > deadline:
                interrupt(thread_id)
                break
        sleep(PAUSE)
    if logging_is_stuck(LOGGING_MAX):
        faulthandler.dump_traceback(sys.stderr)
        # No model is blamed for a SIGKILL: those that are being called now did nothing wrong.
        os.kill(os.getpid(), signal.SIGKILL)


def interrupt_safely(thread_id: int) -> bool:
    """Interrupt a thread unless it is where it takes or releases a lock; return whether it was."""
    number, kind = ctypes.c_ulong(thread_id), ctypes.py_object(CallTimeout)
    interrupt_now = ctypes.pythonapi.PyThreadState_SetAsyncExc
    frame = sys._current_frames().get(thread_id)
    if frame is None or _handles_a_lock(frame):
        return False
    instruction = frame.f_lasti
    # The thread may go on after any call of ours, so look again. Between the comparison of the
    # instruction and the call that interrupts, CPython runs no other thread.
    if sys._current_frames().get(thread_id) is frame and frame.f_lasti == instruction:
        interrupt_now(number, kind)
        return True
    return False


def handles_a_lock(thread_id: int) -> bool:
    """Return whether the thread is in a function that takes or releases a lock by hand.

    An interrupt there could leave the lock held for ever. A `with` statement of a lock that is
    written in C needs no such care: nothing interrupts between taking it and entering the block.
    """
    frame = sys._current_frames().get(thread_id)
    return frame is not None and _handles_a_lock(frame)


def _handles_a_lock(frame: FrameType) -> bool:
    code = frame.f_code
    return code.co_name in TAKES_LOCKS or not TAKES_LOCKS.isdisjoint(code.co_names)


def release_locks() -> None:
    """Release the locks of logging that this thread holds although it has left logging.

    Call it after an interrupt, outside of all code that logs.
    """
    for lock in _logging_locks():
        while lock._is_owned():  # type: ignore[attr-defined]
            lock.release()


def logging_is_stuck(seconds: float) -> bool:
    """Return whether some lock of logging cannot be had within so many seconds."""
    deadline = monotonic() + seconds
    for lock in _logging_locks():
        if not lock.acquire(timeout=max(0.0, deadline - monotonic())):
            return True
        lock.release()
    return False


def _logging_locks() -> list[threading._RLock]:
    """Return the lock of logging itself, and those of the handlers that all loggers share."""
    handlers = (handler.lock for handler in logging.root.handlers)
    return [logging._lock, *(lock for lock in handlers if lock is not None)]  # type: ignore[attr-defined, list-item]
