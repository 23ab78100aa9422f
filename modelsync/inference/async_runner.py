"""Runs the coroutines of models whose method is `async def`, all in one event loop of their own.

The loop is not the worker's, so that a coroutine that blocks delays other `async def` models only,
never a probe.
"""

from __future__ import annotations

import selectors
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any

from modelsync.errors import DeadlineExceeded, Overloaded
from modelsync.inference.threads import start_thread
from modelsync.inference.timeouts import Ticket, Timeouts
from modelsync.models.isolation import fork_guard
from modelsync.models.loading.lifecycle import awaited

if TYPE_CHECKING:  # imported with the first such model: it takes 3 MB
    import asyncio


class AsyncRunner:
    """Runs at most `limit` coroutines at a time and cancels each after `timeout` seconds."""

    def __init__(self, limit: int, timeout: float) -> None:
        self.limit = limit
        self.running = 0
        self._timeouts = Timeouts(timeout)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = threading.Lock()

    def submit(
        self,
        work: Callable[[Ticket], Coroutine[Any, Any, None]],
        on_expired: Callable[[DeadlineExceeded], None],
    ) -> None:
        """Start `work(ticket)`, which must claim the ticket before it answers.

        At the deadline the coroutine is cancelled and `on_expired` is called instead. Raises
        Overloaded if `limit` coroutines are running, or if no thread can be started.
        """
        with self._lock:
            if self.running >= self.limit:
                message = f"{self.limit} predictions are running already; try again"
                raise Overloaded(message, retry_after=1)
        loop = self._started()

        def expire() -> None:
            on_expired(DeadlineExceeded(f"no answer within {self._timeouts.timeout:g} s"))
            loop.call_soon_threadsafe(future.cancel)

        ticket = self._timeouts.start(expire)
        with self._lock:
            self.running += 1
        import asyncio

        future = asyncio.run_coroutine_threadsafe(self._run(work(ticket)), loop)

    def wait(self, awaitable: Awaitable[Any]) -> Any:
        """Wait, in another thread, for what an `async def` has returned; the caller's limit of time
        holds.
        """
        import asyncio

        return asyncio.run_coroutine_threadsafe(awaited(awaitable), self._started()).result()

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            self._loop = self._loop or start_loop("modelsync-async")
            return self._loop

    async def _run(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            with self._lock:
                self.running -= 1


def start_loop(name: str) -> asyncio.AbstractEventLoop:
    """Return an event loop that runs in a thread of this name, until the process ends.

    Raises Overloaded if no thread can be started.
    """
    import asyncio

    selector = selectors.DefaultSelector()
    # A process that a model forks would go on with the loop; without the selector it ends.
    fork_guard.withhold([selector.fileno()])
    loop = asyncio.SelectorEventLoop(selector)

    def run() -> None:
        try:
            loop.run_forever()
        finally:
            fork_guard.end_if_forked()

    start_thread(run, name)
    return loop
