"""Watches the calls that run in the event loop: a call that hangs there blocks the whole worker.

After `interrupt_after` seconds the watchdog raises `CallTimeout` inside the call, which ends a loop
in Python. A call that is blocked in C does not see it: at the model's deadline the watchdog ends
the worker and the master starts another. Either way the model is marked, so that no worker of this
generation calls it in its loop again.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Callable
from time import monotonic, sleep

from modelsync.extension_types import mypyc_attr
from modelsync.inference.interrupt import (
    PATIENCE,
    cancel_interrupt,
    interrupt,
    interrupt_safely,
    release_locks,
)

log = logging.getLogger(__name__)

TICK = 0.1
"""Seconds between two checks of the running call."""

EXIT_CODE = 70
"""Exit code of a worker that ended itself (EX_SOFTWARE of sysexits.h)."""


@mypyc_attr(allow_interpreted_subclasses=True)
class Watchdog:
    """Watches the calls of one event loop. `interrupt_after` and `exit_after` are in seconds.

    The loop's thread reports a call by setting two attributes, because a method call would cost as
    much as all the rest: at the start it adds one to `calls` and sets `calling` to the model's
    name; at the end it sets `calling` to the empty text and calls `disarm` if `fired` is set.
    """

    def __init__(
        self, interrupt_after: float, exit_after: float, force_threads: Callable[[str], None]
    ) -> None:
        self._interrupt_after = interrupt_after
        self._exit_after = exit_after
        self._force_threads = force_threads
        self.calling = ""
        self.calls = 0
        self.fired = False
        self._lock = threading.Lock()
        self._thread_id = 0

    def start(self) -> None:
        """Watch the calls of the calling thread from now on."""
        self._thread_id = threading.get_ident()
        threading.Thread(target=self._watch, name="modelsync-watchdog", daemon=True).start()

    def disarm(self) -> None:
        """Take back an interrupt that the loop's thread has not raised yet: the call has ended."""
        with self._lock:  # the watching thread may be about to interrupt
            self.fired = False
            cancel_interrupt(self._thread_id)
        release_locks()

    def _watch(self) -> None:
        call, since = 0, monotonic()
        while True:
            sleep(TICK)
            model = self.calling
            if not model or self.calls != call:
                call, since = self.calls, monotonic()
                continue
            waited = monotonic() - since
            if waited >= self._exit_after:
                self._exit(model, waited)
            elif waited >= self._interrupt_after and not self.fired:
                self._interrupt(call, model, waited)

    def _interrupt(self, call: int, model: str, waited: float) -> None:
        """Interrupt a call that runs `waited` seconds, where it takes no lock if it soon does."""
        self._force_threads(model)
        patient = waited < self._interrupt_after + PATIENCE
        with self._lock:
            # Set `fired` first, then check the call. The loop does it the other way round, so at
            # least one of the two threads sees what the other has set.
            self.fired = True
            if self.calls != call or not self.calling:
                self.fired = False
                return
            if not interrupt_safely(self._thread_id):
                if patient:  # the next tick tries again
                    self.fired = False
                    return
                interrupt(self._thread_id)
        log.error(
            "%s has been running in the event loop for %.1f s: interrupted; it moves to threads",
            model,
            waited,
        )

    def _exit(self, model: str, waited: float) -> None:
        log.critical(
            "%s has been hanging in the event loop for %.1f s: this worker is replaced (pid %d)",
            model,
            waited,
            os.getpid(),
        )
        faulthandler.dump_traceback(sys.stderr)
        os._exit(EXIT_CODE)
