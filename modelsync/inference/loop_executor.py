"""Calls the models of a data plane from a worker's event loop.

Nothing waits for a batch to fill: a single request is answered at once, and requests that have
arrived together are answered together. Everything here runs in the loop's thread, except for slow
batches, which the thread pool runs.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from modelsync.inference.batcher import (
    DispatchQueue,
    MicroBatcher,
    RequestQueue,
    SequentialCaller,
)
from modelsync.inference.codec import Codec
from modelsync.inference.dataplane import DataPlane
from modelsync.inference.dispatch import DispatchedRunner
from modelsync.inference.latency import RunQueue
from modelsync.inference.loop_model import LoopModel
from modelsync.inference.model_runner import ModelRunner
from modelsync.inference.outcome import Done
from modelsync.inference.watchdog import Watchdog

T = TypeVar("T")

INTERRUPT_AFTER = 1.0
"""Seconds after which the watchdog interrupts a call in the loop; one blocked in C continues."""


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
        for runner in dataplane.runners.values():
            if isinstance(runner, DispatchedRunner):
                runner.attach(loop)
        self._queues: dict[tuple[str, Codec], RequestQueue] = {}
        self._watchdog.start()
        self.tick()

    def tick(self) -> None:
        """Refresh the state of all models; called a few times a second."""
        self._run_queue.waited()
        for model in self.models.values():
            model.refresh()

    def replace(self, name: str, runner: ModelRunner) -> list[RequestQueue]:
        """Have a prepared runner answer the next requests for a model (`DataPlane.replace`).

        Returns the queues of the previous one, whose requests that one still answers.
        """
        self._dataplane.replace(name, runner)
        if isinstance(runner, DispatchedRunner):
            runner.attach(self._loop)
        model = LoopModel(runner, self._dataplane, self._watchdog, self._run_queue)
        model.refresh()
        self.models[name] = model
        replaced = [self._queues.pop(key) for key in list(self._queues) if key[0] == name]
        for queue in replaced:
            queue.replaced = True
        return replaced

    def submit(self, name: str, payload: bytes, codec: Codec, request_id: str, done: Done) -> None:
        """Answer one request without waiting, as `DataPlane.submit` does.

        `done` is called in the loop's thread, perhaps before this method returns.
        """
        queue = self.queue(name, codec)
        if queue is not None:
            queue.submit(payload, request_id, done)
        else:
            self._dataplane.submit(name, payload, codec, request_id, self.threadsafe(done))

    def queue(self, name: str, codec: Codec) -> RequestQueue | None:
        """Return the queue of a protocol's requests for a model, None if it is not loaded."""
        queue = self._queues.get((name, codec))
        if queue is None and (model := self.models.get(name)) is not None:
            queue = self._queues[name, codec] = self._queue(model, codec)
        return queue

    def _queue(self, model: LoopModel, codec: Codec) -> RequestQueue:
        if isinstance(model.runner, DispatchedRunner):
            return DispatchQueue(model, codec, self._dataplane, self._loop)
        if model.runner.model.call_batch is not None:
            return MicroBatcher(model, codec, self._dataplane, self._loop)
        return SequentialCaller(model, codec, self._dataplane, self._loop)

    def threadsafe(self, done: Callable[[T], None]) -> Callable[[T], None]:
        """Return a callback that any thread may call: it calls `done` in the loop's thread."""

        def deliver(value: T) -> None:
            if threading.get_ident() == self._thread:
                done(value)
            else:
                self._loop.call_soon_threadsafe(done, value)

        return deliver

    def _force_threads(self, name: str) -> None:
        self._dataplane.breaker.force_threads(name)
        self.models[name].in_loop = False
