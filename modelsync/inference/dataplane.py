"""The data plane: answers requests by calling models, and knows no HTTP.

It calls models under a deadline and in a bounded queue, counts the calls, and turns every exception
of a model into an outcome, SystemExit included. A `Codec` decodes payloads and encodes results.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

from modelsync.errors import (
    DeadlineExceeded,
    ModelUnavailable,
    RequestError,
    UnknownModel,
)
from modelsync.inference.async_runner import AsyncRunner
from modelsync.inference.circuit_breaker import CircuitBreaker
from modelsync.inference.codec import Codec
from modelsync.inference.dispatch import DispatchedRunner, Frame, Post, unheard
from modelsync.inference.explainer import Explainer
from modelsync.inference.invocation import Invocation
from modelsync.inference.latency import LatencyTracker
from modelsync.inference.memory_budget import MemoryBudget
from modelsync.inference.model_runner import ModelRunner
from modelsync.inference.outcome import Done, Outcome
from modelsync.inference.pending import Pending, PendingRequest
from modelsync.inference.runners import InProcessRunner
from modelsync.inference.thread_pool import PoolTask, ThreadPool
from modelsync.inference.timeouts import Ticket, Timeouts
from modelsync.models.types import LoadedModel
from modelsync.observability.counters import CallCounters

log = logging.getLogger(__name__)

CIRCUIT_OPEN_RETRY = 60
"""Seconds after which a client may try a model again whose circuit is open."""

MOVING_RETRY = 5
"""Seconds after which a client may try a model again that is moved to a process of its own."""

SUSPENDED_RETRY = 10
"""Seconds after which a client may try a model again that has not answered its first call yet."""

NO_RELEASE_RETRY = 1
"""Seconds after which a client may try again before the first release."""


class DataPlane:
    """The models of one release, ready to answer.

    `unavailable` holds the models that are listed but not loaded, with the reason; `suspended`
    those that hang in their first call. `release` is the release's commit, `folder` the path of its
    models, which is removed from messages. `threads` and
    `max_queue` limit the thread pool, `timeout` is the deadline of a call in seconds.
    """

    def __init__(
        self,
        runners: Mapping[str, ModelRunner],
        unavailable: Mapping[str, str],
        counters: CallCounters,
        *,
        release: str | None,
        folder: str = "",
        threads: int,
        max_queue: int,
        timeout: float,
        max_buffered: int = 256 * 1024**2,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self.runners = dict(runners)
        self.models = {name: runner.model for name, runner in runners.items()}
        self.unavailable = dict(unavailable)
        self.release = release
        self.suspended: dict[str, str] = {}
        self.counters = counters
        self.timeout = timeout
        self.breaker = breaker or CircuitBreaker({})
        self.max_queue = max_queue
        self._memory = MemoryBudget(max_buffered)
        self.pool = ThreadPool(threads, max_queue, timeout)
        self.async_runner = AsyncRunner(max_queue, timeout)
        self._frame_timeouts = Timeouts(timeout)
        self._explainer = Explainer(folder.rstrip("/") + "/" if folder else "")
        self.explain = self._explainer.explain
        for name, runner in self.runners.items():
            self.prepare(runner)
            self._listen_to(name, runner)

    @property
    def names(self) -> list[str]:
        """The names of all listed models, loaded or not, sorted."""
        return sorted({*self.models, *self.unavailable})

    @property
    def hung(self) -> int:
        """How many threads have been given up and have not ended."""
        dispatched = (one for one in self.runners.values() if isinstance(one, DispatchedRunner))
        own = self.pool.hung + self._explainer.hung
        return own + sum(runner.hung for runner in dispatched)

    def prepare(self, runner: ModelRunner) -> None:
        """Make a runner ready to be called here, with the limits of this data plane."""
        model = runner.model
        in_process = isinstance(runner, InProcessRunner)
        # A call in the loop must not wait for a lock that a call in a thread holds.
        allowed = in_process and not model.is_async and model.lock is None
        runner.latency = LatencyTracker(model.call_seconds, allowed=allowed)
        if isinstance(runner, DispatchedRunner):
            runner.max_waiting = self.max_queue
        if isinstance(runner, InProcessRunner):
            runner.wait = partial(self._wait, model)

    def replace(self, name: str, runner: ModelRunner) -> None:
        """Have a runner that is prepared answer the next requests for a model.

        Requests that the previous runner has are answered by it.
        """
        previous = self.runners[name]
        self.runners[name], self.models[name] = runner, runner.model
        if isinstance(previous, DispatchedRunner):
            previous.report = _unheeded
        self._listen_to(name, runner)
        self.suspend(name, "")

    def _listen_to(self, name: str, runner: ModelRunner) -> None:
        if isinstance(runner, DispatchedRunner):
            runner.report = partial(self.suspend, name)

    def suspend(self, name: str, reason: str) -> None:
        """Take a model off, with the reason; with the empty text put it on again."""
        fields = {"event": "model_suspended" if reason else "model_resumed", "model": name}
        if reason and reason != self.suspended.get(name):
            self.suspended[name] = reason
            log.error("%s is suspended: %s", name, reason, extra={"fields": fields})
        elif not reason and self.suspended.pop(name, ""):
            log.info("%s serves again", name, extra={"fields": fields})

    def model(self, name: str) -> LoadedModel:
        """Return the loaded model of that name.

        Raises UnknownModel with the most similar names, or ModelUnavailable with the reason.
        """
        if (model := self.models.get(name)) is None:
            if (reason := self.unavailable.get(name)) is not None:
                raise ModelUnavailable(f"{name} is not loaded: {reason}")
            if self.release is None:
                raise ModelUnavailable("there is no release yet: see /readyz", NO_RELEASE_RETRY)
            import difflib

            folded = {known.lower(): known for known in self.names}
            near = difflib.get_close_matches(name.lower(), folded, n=3)
            raise UnknownModel(name, [folded[one] for one in near])
        if reason := self.suspended.get(name):
            raise ModelUnavailable(f"{name} is suspended: {reason}", SUSPENDED_RETRY)
        if self.breaker.is_moving(name):
            detail = f"{name} is moved to a process of its own: it has stopped worker processes"
            raise ModelUnavailable(detail, MOVING_RETRY)
        if self.breaker.is_open(name):
            detail = (
                f"{name} is switched off until its next version: calling it has ended several "
                "worker processes"
            )
            raise ModelUnavailable(detail, CIRCUIT_OPEN_RETRY)
        return model

    def submit(self, name: str, payload: bytes, codec: Codec, request_id: str, done: Done) -> None:
        """Answer one request without waiting: `done` gets the outcome, in any thread."""
        if (runner := self.runners.get(name)) is not None:
            self.submit_to(runner, payload, codec, request_id, done)
            return
        try:
            self.model(name)
        except RequestError as error:
            self._refuse(name, error, perf_counter(), done)

    def submit_to(
        self, runner: ModelRunner, payload: bytes, codec: Codec, request_id: str, done: Done
    ) -> None:
        """Answer one request with this runner, whether it is the current one of its model or not.

        `done` gets the outcome, in any thread.
        """
        started, name = perf_counter(), runner.name
        try:
            self.model(name)
            if isinstance(runner, InProcessRunner):
                if runner.replaceable:
                    done = runner.counted(done)
                call = self._await if runner.model.is_async else self._call
                call(runner, payload, codec, request_id, started, done)
            else:
                pending = [PendingRequest(payload, request_id, done)]
                self.dispatch(runner, pending, codec, _at_once)
        except RequestError as error:
            self._refuse(name, error, started, done)

    def predict(self, name: str, payload: bytes, codec: Codec, request_id: str) -> Outcome:
        """Answer one request and wait for the outcome; for callers that may block."""
        from concurrent.futures import Future  # here, as difflib: a runner is small

        future: Future[Outcome] = Future()
        self.submit(name, payload, codec, request_id, future.set_result)
        return future.result()

    def dispatch(
        self, runner: ModelRunner, requests: Sequence[Pending], codec: Codec, post: Post
    ) -> None:
        """Answer requests for a model that is called elsewhere; `post` delivers the outcomes."""
        name = runner.name
        row = self.counters.rows[name]
        assert isinstance(runner, DispatchedRunner)
        try:
            self.model(name)
            Frame(runner, requests, codec, row, self.explain, post).send(self._frame_timeouts)
        except RequestError as error:
            for request in requests:
                self._refuse(name, error, request.started, request.finish)

    # --- how one call runs ------------------------------------------------------------------------

    def _call(
        self,
        runner: InProcessRunner,
        payload: bytes,
        codec: Codec,
        request_id: str,
        started: float,
        done: Done,
    ) -> None:
        """Call a model in a thread of the pool, under its deadline."""
        model = runner.model

        def work(ticket: Ticket) -> None:
            with Invocation(self.counters.rows[model.name], started, ticket=ticket) as call:
                runner.start()  # done in the warm-up, which workers of other servers do not have
                # In a copy, since the loop or another thread may be in the model's context.
                call_model = partial(model.context.copy().run, runner.call, payload, codec)
                call.outcome = self._memory.call(payload, call_model)
            runner.latency.record(call.seconds)
            # Logged also if it is too late to answer.
            self.explain(call.take(), model, request_id, done if call.claimed else unheard)

        def on_expired(error: DeadlineExceeded) -> None:
            runner.give_up()
            self._refuse(model.name, error, started, done)

        fields = {"model": model.name, "request_id": request_id}
        self.pool.submit(PoolTask(model.name, work, on_expired, fields))

    def _await(
        self,
        runner: InProcessRunner,
        payload: bytes,
        codec: Codec,
        request_id: str,
        started: float,
        done: Done,
    ) -> None:
        model = runner.model

        async def work(ticket: Ticket) -> None:
            with Invocation(self.counters.rows[model.name], started, ticket=ticket) as call:
                call.outcome = await runner.call_async(payload, codec)
            self.explain(call.take(), model, request_id, done if call.claimed else unheard)

        def on_expired(error: DeadlineExceeded) -> None:
            self._refuse(model.name, error, started, done)

        # The task of the coroutine gets the context of the caller.
        model.context.copy().run(self.async_runner.submit, work, on_expired)

    def _wait(self, model: LoadedModel, awaitable: Awaitable[Any]) -> Any:
        """Wait for what an `async def` has returned, in the loop that calls the model."""
        return model.context.copy().run(self.async_runner.wait, awaitable)

    def count_fallbacks(self, name: str, rows: int) -> None:
        """The estimator of a model has answered rows in the place of its compiled form."""
        if row := self.counters.rows.get(name):
            row.fell_back(rows)

    def _refuse(self, name: str, error: RequestError, started: float, done: Done) -> None:
        """Answer a request that no call answers: it was refused, or its deadline has passed."""
        if row := self.counters.rows.get(name):
            row.observe(error.reason, perf_counter() - started)
        done(error)


def _unheeded(_: str) -> None:
    """Do nothing: the runner has been replaced."""


def _at_once(answer: Callable[[], None]) -> None:
    """Answer in the thread that has the outcome: `done` may be called in any thread."""
    answer()
