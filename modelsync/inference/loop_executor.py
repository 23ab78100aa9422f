"""The data plane as one worker's event loop uses it.

No waiting is built in: a lone request is answered alone and at once; requests that have arrived
together are called together. Everything here runs in the loop's thread, but for slow batches, which
the models' threads call.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from modelsync.inference.batcher import (
    MicroBatcher,
    PendingRequest,
    RequestQueue,
    SequentialCaller,
)
from modelsync.inference.codec import Codec
from modelsync.inference.dataplane import DataPlane
from modelsync.inference.latency import RunQueue
from modelsync.inference.loop_model import LoopModel
from modelsync.inference.outcome import Done
from modelsync.inference.watchdog import Watchdog

T = TypeVar("T")

INTERRUPT_AFTER = 1.0
"""Seconds after which the watchdog interrupts a call in the loop, if that is possible."""


class LoopExecutor:
    """Calls the models of one data plane in one event loop."""

    def __init__(self, dataplane: DataPlane, loop: asyncio.AbstractEventLoop) -> None:
        self._dataplane = dataplane
        self._loop = loop
        self._thread = threading.get_ident()
        self._watchdog = Watchdog(INTERRUPT_AFTER, dataplane.timeout, self._force_threads)
        self._run_queue = RunQueue()
        self.models = {
            name: LoopModel(runner, dataplane, self._watchdog, self._run_queue)
            for name, runner in dataplane.runners.items()
        }
        self._queues: dict[tuple[str, Codec], RequestQueue] = {}
        self._watchdog.start()
        self.tick()

    def tick(self) -> None:
        """Take over what other threads and workers have found out; called a few times a second."""
        self._run_queue.waited()
        for model in self.models.values():
            model.refresh()

    def submit(self, name: str, payload: bytes, codec: Codec, request_id: str, done: Done) -> None:
        """`DataPlane.submit` for the loop's thread.

        `done` is called in that thread, perhaps before this returns.
        """
        queue = self.queue(name, codec)
        if queue is not None and (queue.batches or queue.model.in_loop):
            queue.add(PendingRequest(payload, request_id, done))
        else:
            self._dataplane.submit(name, payload, codec, request_id, self.threadsafe(done))

    def queue(self, name: str, codec: Codec) -> RequestQueue | None:
        """Return where a protocol's requests for a model wait for one another, if it is loaded."""
        queue = self._queues.get((name, codec))
        if queue is None and (model := self.models.get(name)) is not None:
            queue = self._queues[name, codec] = self._queue(model, codec)
        return queue

    def _queue(self, model: LoopModel, codec: Codec) -> RequestQueue:
        if model.runner.model.call_batch is not None:
            return MicroBatcher(model, codec, self._dataplane, self._loop)
        return SequentialCaller(model, codec, self._dataplane, self._loop, self.threadsafe)

    def threadsafe(self, done: Callable[[T], None]) -> Callable[[T], None]:
        """Return a callback that calls `done` in the loop, whichever thread calls it."""

        def deliver(value: T) -> None:
            if threading.get_ident() == self._thread:
                done(value)
            else:
                self._loop.call_soon_threadsafe(done, value)

        return deliver

    def _force_threads(self, name: str) -> None:
        self._dataplane.breaker.force_threads(name)
        self.models[name].in_loop = False
