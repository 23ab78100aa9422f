"""Interrupts of running calls: `CallTimeout`, raised by one thread inside another.

CPython raises it when the thread next executes Python code: at once in a loop in Python, after the
return of a system call or of a function in C that blocks.
"""

from __future__ import annotations

import ctypes


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
