"""Watches the calls that run in the event loop: one that hangs there stops the whole worker.

After `patience` seconds `CallTimeout` is raised inside the call, which ends a loop in Python. A
call that is blocked in C does not see that: at the model's deadline the worker is ended, the master
starts another, and the model is marked, so that no worker of this generation calls it in its loop
again.
"""

from __future__ import annotations

import ctypes
import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Callable
from time import monotonic, sleep

from modelsync.inference.thread_pool import CallTimeout

log = logging.getLogger(__name__)

TICK = 0.1
EXIT_CODE = 70
"""Of a worker that ended itself (EX_SOFTWARE of sysexits.h)."""


class Watchdog:
    """Watches the calls of one event loop.

    The loop's thread tells of a call by setting two attributes, because a method call costs as much
    as the rest of it: `calls` one higher and `calling` the model's name at its start; `calling`
    empty at its end, where `disarm` follows if `fired` is set.
    """

    def __init__(
        self, patience: float, deadline: float, force_threads: Callable[[str], None]
    ) -> None:
        self._patience = patience
        self._deadline = deadline
        self._force_threads = force_threads
        self.calling = ""
        self.calls = 0
        self.fired = False
        self._lock = threading.Lock()
        self._thread_id = 0

    def start(self) -> None:
        """Watch the calling thread from now on."""
        self._thread_id = threading.get_ident()
        threading.Thread(target=self._watch, name="modelsync-watchdog", daemon=True).start()

    def disarm(self) -> None:
        """Take back an interrupt that the loop's thread has not seen yet: the call has ended."""
        with self._lock:  # the watching thread may be about to raise
            self.fired = False
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread_id), None)

    def _watch(self) -> None:
        call, since = 0, monotonic()
        while True:
            sleep(TICK)
            model = self.calling
            if not model or self.calls != call:
                call, since = self.calls, monotonic()
                continue
            waited = monotonic() - since
            if waited >= self._deadline:
                self._end(model, waited)
            elif waited >= self._patience and not self.fired:
                self._interrupt(call, model, waited)

    def _interrupt(self, call: int, model: str, waited: float) -> None:
        self._force_threads(model)
        with self._lock:
            # First the mark, then the look: the loop does it the other way round, so one of the two
            # sees the other.
            self.fired = True
            if self.calls != call or not self.calling:
                self.fired = False
                return
            log.error(
                "%s has been running in the event loop for %.1f s: interrupted; it moves to threads",
                model,
                waited,
            )
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(self._thread_id), ctypes.py_object(CallTimeout)
            )

    def _end(self, model: str, waited: float) -> None:
        log.critical(
            "%s hangs in the event loop since %.1f s: this worker is replaced (pid %d)",
            model,
            waited,
            os.getpid(),
        )
        faulthandler.dump_traceback(sys.stderr)
        os._exit(EXIT_CODE)
