"""Watches the calls in a runner's main thread, and shows the master that Python code still runs."""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
from time import monotonic, sleep

from modelsync.inference.interrupt import handles_a_lock, interrupt
from modelsync.inference.pulse import Pulse
from modelsync.inference.watchdog import EXIT_CODE, Watchdog

log = logging.getLogger(__name__)

TICK, IDLE_TICK = 0.05, 0.25
"""Seconds between two looks, while a call runs and while none does."""

GRACE = 1.0
"""Seconds after its deadline until a call that cannot be interrupted ends the process."""


LATE = 0.1
"""Seconds after its deadline until a call is interrupted: by then the worker has answered."""


class MainThreadWatch(Watchdog):
    """Interrupts a call in the main thread at `deadline`, in monotonic seconds.

    A call that blocks in C does not see it: `GRACE` seconds later the process ends itself, unless
    the call has waited for its turn, and has not run for `timeout` seconds yet. If the call holds
    the interpreter, not even this thread runs: its master ends a process without pulse.
    """

    def __init__(self, pulse: Pulse, timeout: float) -> None:
        super().__init__(0.0, timeout, lambda _: None)
        self.deadline = 0.0
        self._pulse = pulse

    def _watch(self) -> None:
        seen, since = 0, 0.0
        while True:
            now = self._pulse.beat = monotonic()
            call, model = self.calls, self.calling
            if not model:
                sleep(IDLE_TICK)
                continue
            if call != seen:
                seen, since = call, now
            late = now - self.deadline
            if late > GRACE and now - since > self._exit_after:
                self._end(model)
            elif late > LATE and not self.fired:
                self._interrupt_late(call, model, late)
            sleep(TICK)

    def _interrupt_late(self, call: int, model: str, late: float) -> None:
        """Interrupt a call; a little later if it holds a lock of logging."""
        if late < GRACE / 2 and handles_a_lock(self._thread_id):
            return
        with self._lock:
            self.fired = True  # first this, then the look at the call: see `Watchdog._interrupt`
            if self.calls != call or not self.calling:
                self.fired = False
                return
            log.error("%s is still running at its deadline: interrupted", model)
            interrupt(self._thread_id)

    def _end(self, model: str) -> None:
        message = "%s hangs beyond its deadline: its runner is replaced (pid %d)"
        log.critical(message, model, os.getpid(), extra={"fields": {"model": model}})
        faulthandler.dump_traceback(sys.stderr)
        os._exit(EXIT_CODE)
