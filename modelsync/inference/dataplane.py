"""Predicting: from a model and a body to an answer. Free of Flask, git, the store and Kubernetes.

`predict` is the plain function. `DataPlane` calls it under a deadline, in a bounded queue, counted,
behind the boundary that no exception of a model passes, `SystemExit` among them.
"""

from __future__ import annotations

import asyncio
import difflib
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from contextvars import copy_context
from time import perf_counter

from modelsync import problems
from modelsync.errors import (
    DeadlineExceeded,
    ModelRaised,
    ModelUnavailable,
    RequestError,
    UnknownModel,
)
from modelsync.inference.async_runner import AsyncRunner
from modelsync.inference.circuit_breaker import CircuitBreaker
from modelsync.inference.latency import LatencyTracker
from modelsync.inference.thread_pool import CallTimeout, Job, ThreadPool
from modelsync.inference.timeouts import Ticket
from modelsync.models.diagnosis import hide_paths
from modelsync.models.isolation import guards
from modelsync.models.results import dump
from modelsync.models.types import LoadedModel
from modelsync.observability.counters import Counters
from modelsync.observability.redaction import redacted
from modelsync.problems import Answer
from modelsync.protocols.native import parse

log = logging.getLogger(__name__)

Done = Callable[[Answer], None]
"""Called exactly once with the answer, in whatever thread has it."""

MESSAGE_LIMIT = 1000
"""Characters of a model's exception that a client sees."""

SWITCHED_OFF_RETRY = 60
NO_RELEASE_RETRY = 1


def predict(model: LoadedModel, body: bytes) -> bytes:
    """The answer of `model` to the request body `{"variables": {...}}`, as JSON.

    Raises MalformedBody, VariablesInvalid, ModelRaised (the result cannot be served) and whatever
    the model raises.
    """
    variables = parse(body)
    if model.lock is None:
        return dump(model.call(variables))
    with model.lock:
        return dump(model.call(variables))


def predict_batch(model: LoadedModel, bodies: Sequence[bytes]) -> list[bytes | BaseException]:
    """`predict` for several requests in one call of a model that has `call_batch`: each result, or
    what failed.

    A request that cannot be bound or whose result cannot be served fails alone. Where the call
    itself raises, each request is called alone, so that the one that is to blame is the one that
    fails. Raises CallTimeout.
    """
    assert model.bind
    assert model.call_batch
    outcomes: list[bytes | BaseException] = [b""] * len(bodies)
    rows, places = [], []
    for place, body in enumerate(bodies):
        try:
            rows.append(model.bind(parse(body)))
            places.append(place)
        except CallTimeout:
            raise
        except BaseException as error:  # noqa: BLE001  a validator may be the model's code
            outcomes[place] = error
    try:
        with model.lock or nullcontext():
            results = model.call_batch(rows) if rows else []
        if not isinstance(results, list) or len(results) != len(rows):
            raise ModelRaised(
                "TypeError", f"transform_predict_batch must return a list of {len(rows)} results"
            )
    except CallTimeout:
        raise
    except BaseException as error:  # noqa: BLE001  the edge of the model's code
        for place in places:
            outcomes[place] = _alone(model, bodies[place]) if len(rows) > 1 else error
        return outcomes
    for place, result in zip(places, results, strict=True):
        try:
            outcomes[place] = result if isinstance(result, Exception) else dump(result)
        except CallTimeout:
            raise
        except BaseException as error:  # noqa: BLE001  a result's own methods may be the model's code
            outcomes[place] = error
    return outcomes


def _alone(model: LoadedModel, body: bytes) -> bytes | BaseException:
    try:
        return predict(model, body)
    except CallTimeout:
        raise
    except BaseException as error:  # noqa: BLE001  the edge of the model's code
        return error


def renew_lock(model: LoadedModel) -> None:
    """Give the model another lock: a call that hangs holds the old one, perhaps for ever."""
    if model.lock is not None:
        model.lock = threading.Lock()


async def predict_async(model: LoadedModel, body: bytes) -> bytes:
    """`predict` for a model whose method is `async def`."""
    return dump(await model.call(parse(body)))


class DataPlane:
    """The models of one release, ready to answer.

    `unavailable` holds the models that are listed but not loaded, with the reason. `release` is the
    release's commit, `folder` the path of its models, which no message may show.
    """

    def __init__(
        self,
        models: Mapping[str, LoadedModel],
        unavailable: Mapping[str, str],
        counters: Counters,
        *,
        release: str | None,
        folder: str = "",
        threads: int,
        max_queue: int,
        timeout: float,
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self.models = dict(models)
        self.unavailable = dict(unavailable)
        self.release = release
        self.counters = counters
        self.timeout = timeout
        self.breaker = breaker or CircuitBreaker({})
        # A call that takes a lock might wait in a loop for one that runs in a thread.
        self.latencies = {
            name: LatencyTracker(
                model.call_seconds, allowed=not model.is_async and model.lock is None
            )
            for name, model in self.models.items()
        }
        self.pool = ThreadPool(threads, max_queue, timeout)
        self.coroutines = AsyncRunner(max_queue, timeout)
        self._folder = folder.rstrip("/") + "/" if folder else ""

    @property
    def names(self) -> list[str]:
        """Every listed model, loaded or not, sorted."""
        return sorted({*self.models, *self.unavailable})

    def model(self, name: str) -> LoadedModel:
        """The loaded model of that name.

        Raises UnknownModel, naming those that look like it, or ModelUnavailable with the reason.
        """
        if (model := self.models.get(name)) is None:
            if (reason := self.unavailable.get(name)) is not None:
                raise ModelUnavailable(f"{name} is not loaded: {reason}")
            if self.release is None:
                raise ModelUnavailable("there is no release yet: see /readyz", NO_RELEASE_RETRY)
            folded = {known.lower(): known for known in self.names}
            near = difflib.get_close_matches(name.lower(), folded, n=3)
            raise UnknownModel(name, [folded[one] for one in near])
        if self.breaker.is_open(name):
            detail = f"{name} is switched off until its next version: calling it has ended several worker processes"
            raise ModelUnavailable(detail, SWITCHED_OFF_RETRY)
        return model

    def submit(self, name: str, body: bytes, request_id: str, done: Done) -> None:
        """Answer one request without waiting: `done` gets the answer, be it a result or a problem.
        """
        started = perf_counter()

        def finish(answer: Answer) -> None:
            if name in self.models:
                self.counters.observe(name, answer.status, perf_counter() - started)
            done(answer)

        try:
            model = self.model(name)
            if model.is_async:
                self._await(model, body, request_id, finish)
            else:
                self._call(model, body, request_id, finish)
        except RequestError as error:
            finish(self._problem(error, name, request_id))

    def answer(self, name: str, body: bytes, request_id: str) -> Answer:
        """`submit`, waiting for the answer; for a caller that has a thread to spend."""
        future: Future[Answer] = Future()
        self.submit(name, body, request_id, future.set_result)
        return future.result()

    # --- below: how one call runs -----------------------------------------------------------------

    def _call(self, model: LoadedModel, body: bytes, request_id: str, done: Done) -> None:
        def work(ticket: Ticket) -> None:
            started = perf_counter()
            self.counters.begin(model.name)
            try:
                answer = self._outcome(model, body, request_id)
            finally:
                self.counters.end(model.name)
            self.latencies[model.name].seen(perf_counter() - started)
            if ticket.claim():
                done(answer)

        def expired(error: DeadlineExceeded) -> None:
            renew_lock(model)
            done(self._problem(error, model.name, request_id))

        self.pool.submit(
            Job(model.name, work, expired, {"model": model.name, "request_id": request_id})
        )

    def _await(self, model: LoadedModel, body: bytes, request_id: str, done: Done) -> None:
        async def work() -> Answer:
            self.counters.begin(model.name)
            try:
                return self.success(model, await predict_async(model, body))
            except BaseException as error:  # the edge of the model's code
                task = asyncio.current_task()
                if isinstance(error, asyncio.CancelledError) and task and task.cancelling():
                    raise  # by us, at the deadline; any other is the model's own
                return self.failure(error, model, request_id)
            finally:
                guards.restore_cwd()
                self.counters.end(model.name)

        def expired(error: DeadlineExceeded) -> None:
            done(self._problem(error, model.name, request_id))

        self.coroutines.submit(work, done, expired)

    def _outcome(self, model: LoadedModel, body: bytes, request_id: str) -> Answer:
        try:
            # In a context of its own: decimal's precision and numpy's error state are of this call
            # alone.
            return self.success(model, copy_context().run(predict, model, body))
        except CallTimeout:
            raise
        except BaseException as error:  # noqa: BLE001  the edge of the model's code: nothing of it may pass
            return self.failure(error, model, request_id)
        finally:
            guards.restore_cwd()

    def success(self, model: LoadedModel, body: bytes) -> Answer:
        """The answer with a result of `model`."""
        return Answer(200, body, headers=(("X-Modelsync-Model-Version", model.version),))

    def failure(self, error: BaseException, model: LoadedModel, request_id: str) -> Answer:
        """The answer to a request that failed with `error`; what is the model's fault is logged,
        with its traceback.
        """
        fields = {"model": model.name, "version": model.version, "request_id": request_id}
        if isinstance(error, RequestError):
            if isinstance(error, ModelRaised):
                log.error(
                    "%s: %s", model.name, error, exc_info=error.__cause__, extra={"fields": fields}
                )
            return self._problem(error, model.name, request_id)
        log.error(
            "%s raised %s",
            model.name,
            type(error).__name__,
            exc_info=error,
            extra={"fields": fields},
        )
        return self._problem(
            ModelRaised(type(error).__name__, self._message(error, model)), model.name, request_id
        )

    def _message(self, error: BaseException, model: LoadedModel) -> str:
        try:
            text = str(error)
        except BaseException:  # noqa: BLE001  `__str__` is the model's code too
            return "(its message cannot be shown)"
        return hide_paths(redacted(text), f"{self._folder}{model.name}/" if self._folder else "")[
            :MESSAGE_LIMIT
        ]

    def _problem(self, error: RequestError, name: str, request_id: str) -> Answer:
        return problems.answer(error, request_id=request_id, model=name, release=self.release)
