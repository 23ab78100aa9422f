"""Models whose method is `async def`: awaited together in one event loop of their own, each under a
deadline.

The loop is not the worker's, so a coroutine that blocks holds up other `async def` models only,
never a probe.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

from modelsync.errors import DeadlineExceeded, Overloaded
from modelsync.inference.timeouts import Ticket, Timeouts
from modelsync.problems import Answer


class AsyncRunner:
    """At most `limit` coroutines at a time, each cancelled after `timeout` seconds."""

    def __init__(self, limit: int, timeout: float) -> None:
        self.limit = limit
        self.running = 0
        self._deadlines = Timeouts(timeout)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def submit(
        self,
        work: Callable[[], Awaitable[Answer]],
        done: Callable[[Answer], None],
        on_expired: Callable[[DeadlineExceeded], None],
    ) -> None:
        """Await `work()` and give its answer to `done`, or call `on_expired` at the deadline, never
        both.

        Raises Overloaded where `limit` coroutines run already.
        """
        with self._lock:
            if self.running >= self.limit:
                raise Overloaded(
                    f"{self.limit} predictions are running already; try again", retry_after=1
                )
            self.running += 1
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(
                    target=self._loop.run_forever, name="modelsync-async", daemon=True
                ).start()
        loop = self._loop
        detail = f"no answer within {self._deadlines.timeout:g} s"

        def expire() -> None:
            on_expired(DeadlineExceeded(detail))
            loop.call_soon_threadsafe(future.cancel)

        ticket = self._deadlines.start(expire)
        future = asyncio.run_coroutine_threadsafe(self._run(work, done, ticket), loop)

    async def _run(
        self, work: Callable[[], Awaitable[Answer]], done: Callable[[Answer], None], ticket: Ticket
    ) -> None:
        try:
            answer = await work()
            if ticket.claim():
                done(answer)
        finally:
            with self._lock:
                self.running -= 1
