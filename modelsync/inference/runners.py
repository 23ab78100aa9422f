"""`InProcessRunner`: loads a model in this process, calls it, and isolates its code from the rest.

All patches of the interpreter for models (guards,
import hooks, crash reports) are behind it, in `modelsync.models.isolation`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from contextvars import Context
from copy import deepcopy
from typing import TYPE_CHECKING, NoReturn, Self

from modelsync.errors import ModelRaised, ModelUnavailable
from modelsync.inference.codec import Codec
from modelsync.inference.interrupt import CallTimeout
from modelsync.inference.model_runner import ModelRunner, RawOutcome
from modelsync.inference.outcome import Done, Outcome
from modelsync.inference.version_loading import LoadTerms
from modelsync.models import rejection
from modelsync.models.isolation import guards
from modelsync.models.loading import lifecycle, loader
from modelsync.models.loading.lifecycle import Wait
from modelsync.models.placement import Placement
from modelsync.models.types import LoadedModel, ModelSpec
from modelsync.models.versions import FittedVersion

if TYPE_CHECKING:  # imported with the first `async def`: it takes 3 MB
    import asyncio


class InProcessRunner(ModelRunner):
    """A model that runs in this process, in the thread that calls it.

    `one_at_a_time`: calls of its `async def` do not overlap.
    `hide_loop` is that of its `Placement`: in a thread with a running loop, call it `hidden`.
    `wait` waits for what an `async def` of the model has returned, in the loop that calls it.
    """

    hide_loop = False
    one_at_a_time = False
    _async_lock: asyncio.Lock | None = None
    wait: Wait = staticmethod(lifecycle.wait_here)
    _started = False
    _load: Callable[[FittedVersion | None], Self]

    def __init__(self, model: LoadedModel) -> None:
        super().__init__(model)
        self._starting = threading.Lock()
        self._calls = 0
        self._calls_lock = threading.Lock()

    @classmethod
    def load(
        cls,
        spec: ModelSpec,
        placement: Placement | None = None,
        *,
        alone: bool = False,
        fitted: FittedVersion | None = None,
        terms: LoadTerms | None = None,
    ) -> Self:
        """Import the model's folder and create its instance; `alone` as for `loader.load`.

        Raises ModelBroken.
        """
        terms = terms or LoadTerms()
        with terms.attempts.attempt(fitted):
            loaded = loader.load(spec, alone=alone, fitted=fitted, mismatch=terms.mismatch)
        runner = cls(loaded)
        runner._load = lambda other: cls.load(
            spec, placement, alone=alone, fitted=other, terms=terms
        )
        model = runner.model
        if placement is not None:
            runner.hide_loop = placement.hide_loop
            if model.is_async:
                runner.one_at_a_time = not placement.overlaps
            elif not placement.overlaps:
                model.lock = model.lock or threading.Lock()
        return runner

    def fitted(self, version: FittedVersion | None) -> Self:
        """Load another fitted version, in the calling thread. Raises ModelBroken."""
        runner = self._load(version)
        known = version.call_seconds if version else None
        runner.model.call_seconds = known or self.model.call_seconds
        return runner

    @property
    def busy(self) -> bool:
        """Whether a thread or a coroutine has a request for it."""
        return self._calls > 0

    def begin(self, calls: int = 1) -> None:
        """Count calls that are made elsewhere than in an event loop; each of them ends."""
        with self._calls_lock:
            self._calls += calls

    def end(self, calls: int = 1) -> None:
        """Those calls have ended, or have been given up."""
        with self._calls_lock:
            self._calls -= calls

    def counted(self, done: Done) -> Done:
        """Count a call until its outcome has been delivered to `done`."""
        self.begin()

        def end(outcome: Outcome) -> None:
            try:
                done(outcome)
            finally:
                self.end()

        return end

    def call(self, payload: bytes, codec: Codec) -> bytes:
        """Answer one request, under the model's lock if its calls must not overlap.

        Raises MalformedBody, VariablesInvalid, RequestRejected for an exception with a status
        from 400 to 499, ModelRaised and every other exception of the model,
        SystemExit and KeyboardInterrupt included.
        """
        model = self.model
        try:
            if model.lock is None:
                return codec.encode(model.call(codec.decode(payload)))
            variables = codec.decode(payload)
            with model.lock:
                return codec.encode(model.call(variables))
        except Exception as error:
            if rejected := rejection.of(error):
                raise rejected from error
            raise
        finally:
            if guards.moved:
                guards.restore_cwd()

    async def call_async(self, payload: bytes, codec: Codec) -> bytes:
        """Answer one request with a model whose method is `async def`; raises as `call` does."""
        try:
            variables = codec.decode(payload)
            if not self.one_at_a_time:
                return codec.encode(await self.model.call(variables))
            async with self._turn():
                return codec.encode(await self.model.call(variables))
        except Exception as error:
            if rejected := rejection.of(error):
                raise rejected from error
            raise
        finally:
            guards.restore_cwd()

    def _turn(self) -> asyncio.Lock:
        """Return the lock that the coroutines of the model take; all run in one loop."""
        import asyncio

        if self._async_lock is None:
            self._async_lock = asyncio.Lock()
        return self._async_lock

    def call_batch(self, payloads: Sequence[bytes], codec: Codec) -> list[RawOutcome]:
        """Answer several requests with one call; return one outcome for each, in their order.

        Only for a model that has `call_batch`. A request that cannot be bound, or whose result
        cannot be encoded, fails alone. If the call itself raises, each request is called alone, so
        that only those fail that raise by themselves. Raises CallTimeout.
        """
        try:
            return self._call_batch(payloads, codec)
        finally:
            guards.restore_cwd()

    def _call_batch(self, payloads: Sequence[bytes], codec: Codec) -> list[RawOutcome]:
        """Answer a batch, without restoring the working directory: `call_batch` does."""
        model = self.model
        assert model.bind
        assert model.call_batch
        outcomes: list[RawOutcome] = [b""] * len(payloads)
        rows, indexes = [], []
        for index, payload in enumerate(payloads):
            try:
                variables = codec.decode(payload)
                if type(variables) is not dict:  # a table has rows enough
                    outcomes[index] = self.outcome_of(payload, codec)
                    continue
                rows.append(model.bind(variables))
                indexes.append(index)
            except CallTimeout:
                raise
            except BaseException as error:  # noqa: BLE001  a validator may be the model's code
                outcomes[index] = rejection.or_error(error)
        try:
            with model.lock or nullcontext():
                results = model.call_batch(rows) if rows else []
            _check_length(results, len(rows))
        except CallTimeout:
            raise
        except BaseException as error:  # noqa: BLE001  the edge of the model's code
            for index in indexes:
                outcomes[index] = (
                    self.outcome_of(payloads[index], codec)
                    if len(rows) > 1
                    else rejection.or_error(error)
                )
            return outcomes
        for index, result in zip(indexes, results, strict=True):
            outcomes[index] = _encoded(result, codec)
        return outcomes

    def outcome_of(self, payload: bytes, codec: Codec) -> RawOutcome:
        """Answer one request; return what the call raised. Raises CallTimeout."""
        try:
            return self.call(payload, codec)
        except CallTimeout:
            raise
        except BaseException as error:  # noqa: BLE001  the edge of the model's code
            return error

    async def outcome_of_async(self, payload: bytes, codec: Codec) -> RawOutcome:
        """Answer one request with an `async def`; return what it raised. Raises CallTimeout."""
        try:
            return await self.call_async(payload, codec)
        except CallTimeout:
            raise
        except BaseException as error:  # noqa: BLE001  the edge of the model's code
            return error

    def give_up(self) -> None:
        """Prepare for further calls while one that has passed its deadline may still run.

        The model gets another lock: the call that hangs may hold the old one for ever.
        """
        if self.model.lock is not None:
            self.model.lock = threading.Lock()

    def start(self) -> None:
        """Call the model's `start`, unless that has been done. Raises ModelBroken.

        Several threads may call this: the first one calls the model, the others wait for it.
        """
        if not self._started:
            with self._starting:
                if not self._started:
                    lifecycle.start(self.model, self.wait)
                    self._started = True

    def warm_up(self) -> None:
        """Start the model and call it with its first example. Raises ModelBroken if `start` fails.

        A failure of the call is ignored: the check has made it, and the next request shows it.
        """
        self.start()
        model = self.model
        if model.examples:
            with suppress(BaseException):
                result = model.context.run(model.call, deepcopy(model.examples[0].variables))
                if model.is_async:
                    self.wait(result)
            guards.restore_cwd()

    def stop(self) -> None:
        """Call the model's `stop`, unless its `start` has failed."""
        if self._started or self.model.start is None:
            lifecycle.stop(self.model, self.wait)

    def close(self) -> None:
        """Remove the model's modules from `sys.modules`, and free what the model holds."""
        model = self.model
        loader.unload(model)
        # Objects that were loaded before the fork are out of the collector's sight: no cycle
        # through a method of the instance may keep what it has fitted.
        model.call = _closed
        model.bind = model.call_batch = model.start = model.stop = model.instance = None
        model.context = Context()


def _closed(_: object) -> NoReturn:
    raise ModelUnavailable("this version has been replaced; try again", retry_after=1)


def _check_length(results: object, wanted: int) -> None:
    if not isinstance(results, list) or len(results) != wanted:
        message = f"transform_predict_batch must return a list of {wanted} results"
        raise ModelRaised("TypeError", message)


def _encoded(result: object, codec: Codec) -> RawOutcome:
    try:
        return rejection.or_error(result) if isinstance(result, Exception) else codec.encode(result)
    except CallTimeout:
        raise
    except BaseException as error:  # noqa: BLE001  a result's own methods may be the model's code
        return error
