"""What is left of a worker that has crashed: which model it was calling, in the words of
`faulthandler`.

The file is made by the master before the fork, has no name, and is written by the worker at its
end: from the handler of a fatal signal, or because a model calls `os._exit`.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import re
import signal
import tempfile
from pathlib import Path
from typing import NoReturn

LONGEST = 64 * 1024
"""Bytes of last words that are read."""

STACK = 64 * 1024
"""Bytes of stack for a handler; a processor's registers alone can take more than 8 KiB."""


class CrashReport:
    """One worker's, shared with its master."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  open as long as the worker lives

    def listen(self) -> None:
        """In the worker: from now on a crash leaves its traceback here."""
        signal.signal(signal.SIGABRT, signal.SIG_DFL)
        faulthandler.enable(self._file)
        worker, exit_now = os.getpid(), os._exit

        def noted(status: int) -> NoReturn:
            if os.getpid() == worker:  # and not a process that a model has forked
                faulthandler.dump_traceback(self._file)
            exit_now(status)

        vars(os)["_exit"] = noted

    def read(self) -> str:
        """In the master: what the worker left; empty where it ended in another way."""
        self._file.seek(0)
        return self._file.read(LONGEST).decode("utf-8", "replace")

    def close(self) -> None:
        """Forget it."""
        self._file.close()


class _Stack(ctypes.Structure):
    """`stack_t` of sigaltstack(2)."""

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def signal_stack() -> object:
    """Let the calling thread tell of its own stack overflow; keep the result as long as the thread
    lives.

    A handler needs a stack to run on: `faulthandler` sets one aside for the main thread alone.
    """
    memory = ctypes.create_string_buffer(STACK)
    ctypes.CDLL(None).sigaltstack(ctypes.byref(_Stack(ctypes.addressof(memory), 0, STACK)), None)
    return memory


def crashed_model(words: str, models: Path) -> str | None:
    """The model whose code ran in the thread that crashed, by the folder below `models` that it
    lies in.
    """
    _, found, thread = words.partition("Current thread")
    if not found:
        return None
    thread = thread.partition("\n\n")[0]
    match = re.search(rf'File "{re.escape(str(models.absolute()))}/([^/"]+)/', thread)
    return match[1] if match else None
