"""The thread of a model that runs in one: loads the model, then answers frame after frame."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic, perf_counter
from typing import Any

from modelsync.errors import ModelBroken, ModelUnavailable, Overloaded
from modelsync.inference.codec import Codec
from modelsync.inference.dispatch import Frame
from modelsync.inference.interrupt import (
    CallTimeout,
    cancel_interrupt,
    interrupt_soon,
    release_locks,
)
from modelsync.inference.model_runner import RawOutcome
from modelsync.inference.pending import MAX_BATCH, MAX_TURN
from modelsync.inference.runners import InProcessRunner
from modelsync.inference.threads import start_thread
from modelsync.inference.version_loading import RefusedVersion
from modelsync.models.isolation.crash_report import signal_stack
from modelsync.models.loading import lifecycle, loader
from modelsync.models.types import LoadedModel, ModelSpec

CANCEL = 0.2
"""Seconds that a coroutine has to end after it was cancelled, before its thread is interrupted."""


class ModelThread:
    """One thread with one instance of a model; `frames` gives it work, None ends it.

    `tried` is set once the model has been loaded, started and called with its first example, or has
    failed: then `fault` says why, and the thread tries again after the seconds that `on_tried`
    returns. `loading_since` is infinite while it waits for another model's load. `on_left` is
    called at the end of a thread that was given up. `load` loads the model; `kept`: it has been
    loaded before, and another thread may call it after this one.
    `again`: another thread has hung in a call, so the model is not called with its example.
    """

    model: LoadedModel

    def __init__(
        self,
        spec: ModelSpec,
        frames: SimpleQueue[Frame | None],
        on_tried: Callable[[ModelThread], float],
        on_left: Callable[[], None],
        load: Callable[[], InProcessRunner],
        *,
        kept: bool = False,
        again: bool = False,
    ) -> None:
        self._kept = kept
        self._load = load
        self._again = again
        self.tried = threading.Event()
        self.fault = ""
        self.failures = 0
        self.loading_since = math.inf
        self._spec = spec
        self._frames = frames
        self._on_tried = on_tried
        self._on_left = on_left
        self._loop = asyncio.Runner()  # makes its loop at the first use
        self._task: asyncio.Task[Any] | None = None
        self._lock = threading.Lock()
        self._calling: Frame | None = None
        self._began = 0.0
        self._hangs = False
        self._given_up = False
        self._ended = threading.Event()
        self._thread_id = 0

    def start(self) -> None:
        """Start the thread; returns at once. Raises Overloaded if the system starts none."""
        start_thread(self._run, f"modelsync-model-{self._spec.name}")

    @property
    def refused(self) -> RefusedVersion | None:
        """The version that should have been loaded and was not."""
        return self._runner.refused

    def close(self) -> None:
        """Free what the model holds, after the end of the thread."""
        if not self.fault:
            self._runner.close()

    def join(self) -> None:
        """Wait for the end of the thread."""
        self._ended.wait()

    def interrupt(self, frame: Frame) -> bool:
        """Interrupt the call of a frame; return whether the thread is in one."""
        with self._lock:
            if self._calling is not frame:
                return False
            self._hangs = True
            frame.hangs()
            task = self._task
        if task:
            task.get_loop().call_soon_threadsafe(task.cancel)
        with suppress(Overloaded):  # no thread for it: the call is not interrupted, but given up
            interrupt_soon(
                self._thread_id,
                self._lock,
                lambda: self._calling is frame,
                after=CANCEL if task else 0.0,
            )
        return True

    def has_run(self) -> float:
        """Return for how many seconds the call has run that is made now, or was last."""
        return monotonic() - self._began

    def give_up(self, frame: Frame) -> bool:
        """Have the thread end after the call of a frame; return False if the call has ended."""
        with self._lock:
            self._given_up = self._calling is frame
            return self._given_up

    # --- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        _stack = signal_stack()
        self._thread_id = threading.get_ident()
        try:
            self._load_and_serve()
        finally:
            self._ended.set()

    def _load_and_serve(self) -> None:
        while not self._bring_up():
            if not self._wait_for_retry(self._report()):
                return
        self._report()
        if self.model.is_async:
            self._serve()
        else:
            self._context.run(self._serve)
        if self._given_up:
            self._leave()
        else:
            self._runner.stop()

    def _leave(self) -> None:
        """End after the call that hung; another thread has the place of this one."""
        if not self._kept:  # nobody else has this instance
            self._runner.stop()
            self._runner.close()
        self._on_left()

    def _bring_up(self) -> bool:
        """Load and start the model and call it with its first example; return whether it serves."""
        try:
            with loader.turn():
                self.loading_since = monotonic()
                self._runner = self._load()
            self._runner.wait = self._wait
            self.model = self._runner.model
            # A thread that was given up may be in the context of the same instance.
            self._context = self.model.context.copy() if self._again else self.model.context
            self.model.lock = None  # one thread, one call at a time
            (self._runner.start if self._again else self._runner.warm_up)()
        except ModelBroken as error:
            self.fault = str(error)
            self.failures += 1
        else:
            self.fault = ""
        return not self.fault

    def _report(self) -> float:
        pause = self._on_tried(self)
        self.tried.set()
        return pause

    def _wait_for_retry(self, seconds: float) -> bool:
        """Refuse all frames for so many seconds; return False if the thread is to end."""
        deadline = monotonic() + seconds
        error = ModelUnavailable(f"{self._spec.name} does not load: {self.fault}")
        with suppress(Empty):
            while frame := self._frames.get(timeout=max(0.0, deadline - monotonic())):
                frame.refuse(error)
            return False
        return True

    def _serve(self) -> None:
        while not self._given_up and self._next():
            pass

    def _next(self) -> bool:
        """Wait for a frame and answer it; return False if there will be no other."""
        frame = self._frames.get()
        if frame is None:
            return False
        payloads, done = frame.payloads, 0
        while done < len(payloads):
            outcomes = self._interruptible(frame, payloads[done:])
            if not outcomes:  # the deadline has answered
                break
            frame.answer(enumerate(outcomes, done))
            done += len(outcomes)
        return True

    def _interruptible(self, frame: Frame, payloads: Sequence[bytes]) -> Sequence[RawOutcome]:
        """Answer some of the requests, at least one; nothing once the deadline has passed."""
        try:
            with self._lock:
                if frame.finished:
                    return ()
                self._calling, self._began = frame, monotonic()
            try:
                return self._turn(payloads, frame)
            finally:
                self._end(frame)
        except CallTimeout:  # at most once for each frame, so `_end` is not interrupted again
            self._end(frame)
            release_locks()
            return ()

    def _end(self, frame: Frame) -> None:
        with self._lock:
            self._calling = None
            if self._hangs:
                self._hangs = False
                frame.hangs_no_more()
                cancel_interrupt(threading.get_ident())

    def _turn(self, payloads: Sequence[bytes], frame: Frame) -> Sequence[RawOutcome]:
        """Call the model once with a batch, or for one request after the other."""
        runner, codec = self._runner, frame.codec
        if self.model.call_batch:
            batch = payloads[:MAX_BATCH]
            frame.called(len(batch))
            return runner.call_batch(batch, codec)
        call = self._await if self.model.is_async else runner.outcome_of
        outcomes = []
        began = perf_counter()
        for payload in payloads:
            outcomes.append(call(payload, codec))
            if perf_counter() - began > MAX_TURN:
                break
        return outcomes

    def _await(self, payload: bytes, codec: Codec) -> RawOutcome:
        """Run the coroutine of one call in the loop of this thread."""

        async def call() -> RawOutcome:
            self._task = asyncio.current_task()
            try:
                return await self._runner.outcome_of_async(payload, codec)
            finally:
                self._task = None

        return self._loop.run(call(), context=self._context)

    def _wait(self, awaitable: Awaitable[Any]) -> Any:
        """Wait for what an `async def` has returned, in the loop of this thread."""
        return self._loop.run(lifecycle.awaited(awaitable), context=self._context)
