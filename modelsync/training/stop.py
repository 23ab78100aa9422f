"""SIGTERM and SIGINT as a flag that any thread can wait for.

Not a `threading.Event`: its `set`, in a handler, waits for ever for a lock that the interrupted
thread may hold.
"""

from __future__ import annotations

import os
import select
import signal


class Stop:
    """Whether this process has been asked to end."""

    def __init__(self) -> None:
        self._asked = False
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)

    def listen(self) -> None:
        """Take SIGTERM and SIGINT from now on; the main thread alone may call this."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.ask())

    def ask(self) -> None:
        """Ask for the end."""
        if not self._asked:
            self._asked = True
            os.write(self._writing, b"\0")  # never read: who waits later does not wait

    @property
    def asked(self) -> bool:
        """Whether the end was asked for."""
        return self._asked

    def wait(self, seconds: float) -> bool:
        """Wait for that, `seconds` at most; whether it was asked for."""
        if not self._asked:
            select.select([self._reading], [], [], max(0.0, seconds))
        return self._asked
