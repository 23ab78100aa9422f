"""Keeps the traceback of a worker that crashes, which shows the model that it was calling.

The master makes the file, which has no name, before the fork. `faulthandler` writes it in the
worker: from the handler of a fatal signal, or when a model calls `os._exit`.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import re
import signal
from pathlib import Path
from typing import IO, NoReturn

MAX_REPORT = 64 * 1024
"""Bytes of a report that are read."""

STACK_SIZE = 64 * 1024
"""Bytes of stack for a signal handler; a processor's registers alone can take more than 8 KiB."""


class CrashReport:
    """The crash report of one worker or runner, which shares the file with its master.

    A runner has inherited its `file`, which must be unbuffered.
    """

    def __init__(self, file: IO[bytes] | None = None) -> None:
        if file is None:
            import tempfile  # here: a runner, which must be small, does not need it

            file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  open as long as the worker
        self._file = file

    def listen(self) -> None:
        """In the worker: write the traceback of a crash from now on.

        This replaces `os._exit` and enables `faulthandler`, for this process alone.
        """
        signal.signal(signal.SIGABRT, signal.SIG_DFL)
        faulthandler.enable(self._file)
        worker, exit_now = os.getpid(), os._exit

        def report_and_exit(status: int) -> NoReturn:
            if os.getpid() == worker:  # not in a process that a model has forked
                faulthandler.dump_traceback(self._file)
            exit_now(status)

        vars(os)["_exit"] = report_and_exit

    def read(self) -> str:
        """In the master: return the traceback; empty if the worker ended in another way."""
        self._file.seek(0)
        return self._file.read(MAX_REPORT).decode("utf-8", "replace")

    def clear(self) -> None:
        """In the master: empty the file for the next process."""
        self._file.seek(0)
        self._file.truncate()

    def fileno(self) -> int:
        """Return the descriptor of the file."""
        return self._file.fileno()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _Stack(ctypes.Structure):
    """`stack_t` of sigaltstack(2)."""

    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def signal_stack() -> object:
    """Give the calling thread a stack for signal handlers; keep the result until the thread ends.

    With it `faulthandler` can report a stack overflow of this thread. It makes one for the main
    thread alone.
    """
    memory = ctypes.create_string_buffer(STACK_SIZE)
    ctypes.CDLL(None).sigaltstack(
        ctypes.byref(_Stack(ctypes.addressof(memory), 0, STACK_SIZE)), None
    )
    return memory


def crashed_model(report: str, models: Path) -> str | None:
    """Return the name of the model whose code ran in the thread that crashed.

    It is the name of the folder below `models` in which the innermost such line of the report lies.
    None if the thread ran no model.
    """
    return _model(_crashed_thread(report), models)


def names_thread(report: str) -> bool:
    """Return whether the report says in which thread the crash was; a thread in C has no name."""
    return _CURRENT in report


def was_calling(report: str) -> bool:
    """Return whether the thread that crashed was calling a model, such as an artefact."""
    found = re.search(r'/modelsync/inference/\w*runners?\.py", line', _crashed_thread(report))
    return found is not None


def waiting_models(report: str, models: Path) -> list[str]:
    """Return the models that waited for threads of their own when another thread crashed."""
    stacks = [stack for stack in report.split("\n\n") if _WAITING.search(stack)]
    return sorted({name for stack in stacks if (name := _model(stack, models))})


_CURRENT = "Current thread"

_WAITING = re.compile(
    r'most recent call first\):\n  File "[^"]*/(threading|queue|multiprocessing/\w+)\.py", line'
)
"""A stack whose innermost call waits for another thread."""


def _crashed_thread(report: str) -> str:
    """Return the stack of the thread that crashed; if the watchdog has ended the worker, that of
    the event loop.
    """
    stack = report.partition(_CURRENT)[2].partition("\n\n")[0]
    if "/modelsync/inference/watchdog.py" not in stack:
        return stack
    stacks = report.split("\n\n")
    return next((one for one in stacks if "/modelsync/inference/loop_model.py" in one), stack)


def _model(stack: str, models: Path) -> str | None:
    match = re.search(rf'File "{re.escape(str(models.absolute()))}/([^/"]+)/', stack)
    return match[1] if match else None
