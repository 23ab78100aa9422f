"""Runners: where a model runs, and how its code is kept from the rest of the process.

`InProcessRunner` calls a model in this process. Everything that patches the interpreter for the
sake of models (guards, import hooks, crash reports) lies behind it, in `modelsync.models.isolation`.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from typing import Self

from modelsync.errors import ModelRaised
from modelsync.inference.codec import Codec
from modelsync.inference.thread_pool import CallTimeout
from modelsync.models.isolation import guards
from modelsync.models.loading import loader
from modelsync.models.types import LoadedModel, ModelSpec

RawOutcome = bytes | BaseException
"""The encoded result of one request, or what the model, its validator or its result raised."""


class ModelRunner(ABC):
    """One model, ready to be called. `model` describes it: its schema, examples and version."""

    def __init__(self, model: LoadedModel) -> None:
        self.model = model

    @classmethod
    @abstractmethod
    def load(cls, spec: ModelSpec) -> Self:
        """Load a model. Raises ModelBroken."""

    @abstractmethod
    def call(self, payload: bytes, codec: Codec) -> bytes:
        """Answer one request.

        Raises MalformedBody, VariablesInvalid, ModelRaised and whatever the model raises,
        SystemExit and KeyboardInterrupt among them.
        """

    @abstractmethod
    async def call_async(self, payload: bytes, codec: Codec) -> bytes:
        """Answer one request with a model whose method is `async def`. Raises as `call`."""

    @abstractmethod
    def call_batch(self, payloads: Sequence[bytes], codec: Codec) -> list[RawOutcome]:
        """Answer several requests with one call of a model that has `call_batch`.

        A request that cannot be bound, or whose result cannot be encoded, fails alone. If the call
        itself raises, each request is called alone, so that only the one to blame fails. Raises
        CallTimeout.
        """

    @abstractmethod
    def give_up(self) -> None:
        """Go on without a call that has passed its deadline: it may never end."""

    @abstractmethod
    def warm_up(self) -> None:
        """Call the model once with its first example, so that no client waits for a cold start."""

    @abstractmethod
    def close(self) -> None:
        """Free what the model holds. It must not be called any more."""


class InProcessRunner(ModelRunner):
    """A model that runs in this process, in the thread that calls it."""

    @classmethod
    def load(cls, spec: ModelSpec) -> Self:
        """Import the model's folder and make its instance. Raises ModelBroken."""
        return cls(loader.load(spec))

    def call(self, payload: bytes, codec: Codec) -> bytes:
        """Decode, call, encode; under the model's lock where its calls must not overlap."""
        model = self.model
        try:
            if model.lock is None:
                return codec.encode(model.call(codec.decode(payload)))
            variables = codec.decode(payload)
            with model.lock:
                return codec.encode(model.call(variables))
        finally:
            guards.restore_cwd()

    async def call_async(self, payload: bytes, codec: Codec) -> bytes:
        """Decode, await, encode."""
        try:
            return codec.encode(await self.model.call(codec.decode(payload)))
        finally:
            guards.restore_cwd()

    def call_batch(self, payloads: Sequence[bytes], codec: Codec) -> list[RawOutcome]:
        """Bind each request to a row, call the model with all rows, encode each result."""
        try:
            return self._call_batch(payloads, codec)
        finally:
            guards.restore_cwd()

    def _call_batch(self, payloads: Sequence[bytes], codec: Codec) -> list[RawOutcome]:
        model = self.model
        assert model.bind
        assert model.call_batch
        outcomes: list[RawOutcome] = [b""] * len(payloads)
        rows, places = [], []
        for place, payload in enumerate(payloads):
            try:
                rows.append(model.bind(codec.decode(payload)))
                places.append(place)
            except CallTimeout:
                raise
            except BaseException as error:  # noqa: BLE001  a validator may be the model's code
                outcomes[place] = error
        try:
            with model.lock or nullcontext():
                results = model.call_batch(rows) if rows else []
            _check_length(results, len(rows))
        except CallTimeout:
            raise
        except BaseException as error:  # noqa: BLE001  the edge of the model's code
            for place in places:
                outcomes[place] = self._alone(payloads[place], codec) if len(rows) > 1 else error
            return outcomes
        for place, result in zip(places, results, strict=True):
            outcomes[place] = _encoded(result, codec)
        return outcomes

    def _alone(self, payload: bytes, codec: Codec) -> RawOutcome:
        try:
            return self.call(payload, codec)
        except CallTimeout:
            raise
        except BaseException as error:  # noqa: BLE001  the edge of the model's code
            return error

    def give_up(self) -> None:
        """Give the model another lock: the call that hangs holds the old one, perhaps for ever."""
        if self.model.lock is not None:
            self.model.lock = threading.Lock()

    def warm_up(self) -> None:
        """Call the model; the check has run the same example, so a failure shows when it is used."""
        model = self.model
        if model.examples and not model.is_async:
            with suppress(BaseException):
                model.call(dict(model.examples[0].variables))
            guards.restore_cwd()

    def close(self) -> None:
        """Forget the model's modules."""
        loader.unload(self.model)


def _check_length(results: object, wanted: int) -> None:
    if not isinstance(results, list) or len(results) != wanted:
        message = f"transform_predict_batch must return a list of {wanted} results"
        raise ModelRaised("TypeError", message)


def _encoded(result: object, codec: Codec) -> RawOutcome:
    try:
        return result if isinstance(result, Exception) else codec.encode(result)
    except CallTimeout:
        raise
    except BaseException as error:  # noqa: BLE001  a result's own methods may be the model's code
        return error
