"""The event loop policy of processes that run models; see `event_loops`, which installs it."""

from __future__ import annotations

import asyncio


class LoopPerThread(asyncio.DefaultEventLoopPolicy):
    """Makes the loop of a thread when it is asked for, and another one after its end."""

    def get_event_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of this thread."""
        try:
            loop = super().get_event_loop()
        except RuntimeError:
            loop = None
        if loop is None or loop.is_closed():
            loop = self.new_event_loop()
            self.set_event_loop(loop)
        return loop
