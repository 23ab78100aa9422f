"""Hang-up: whether a SIGHUP says that the terminal, in which the service was started, has gone.

Closing a terminal ends what was started in it, as people expect; without one, SIGHUP asks a daemon
to look for what is new, as it does for many.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable


class HangUp:
    """Remembers whether this process was started in a terminal and is to end with it."""

    def __init__(self) -> None:
        # `nohup` starts a program with the signal ignored: it is to outlive its terminal.
        self._started_in_terminal = (
            _has_terminal() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
        )
        self._stopped = False

    def listen(self, *, sync: Callable[[], None], stop: Callable[[], None]) -> None:
        """From now on call `stop` once if the terminal has gone, else `sync`, at each SIGHUP."""

        def heard() -> None:
            if not self._started_in_terminal or _has_terminal():
                sync()
            elif not self._stopped:  # the shell sends one more to what it has started
                self._stopped = True
                stop()

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, heard)


def _has_terminal() -> bool:
    """Return whether the process has a controlling terminal (tty(4)): not after a hang-up."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
