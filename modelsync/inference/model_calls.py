"""`ModelCalls`: calls a model in this process and returns the answers to requests."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from modelsync.errors import MalformedBody, ModelRaised, VariablesInvalid
from modelsync.extension_types import mypyc_attr
from modelsync.inference import row_calls
from modelsync.inference.codec import Codec
from modelsync.inference.interrupt import CallTimeout
from modelsync.inference.model_runner import ModelRunner, RawOutcome
from modelsync.inference.row_calls import SeveralRows
from modelsync.json_text import DIGITS_AS_ZERO, LONG_INTEGER, SHORTEST, has_long_number
from modelsync.models import rejection
from modelsync.models.isolation import guards
from modelsync.models.request_form import Digits, Rows
from modelsync.models.types import LoadedModel

if TYPE_CHECKING:  # imported with the first `async def`: it takes 3 MB
    import asyncio


@mypyc_attr(allow_interpreted_subclasses=True)
class ModelCalls(ModelRunner):
    """The calls of a model in the thread that asks for them.

    `one_at_a_time`: calls of its `async def` do not overlap.
    """

    one_at_a_time = False
    _async_lock: asyncio.Lock | None = None

    def __init__(self, model: LoadedModel) -> None:
        super().__init__(model)
        self._digits: Digits = model.form.digits
        # What a body holds, its digits as zeros, that has to be read exactly; None: nothing. To ask
        # a function costs as much as to look.
        self._long: bytes | None = None
        if self._digits == "doubles":  # read so once they do not fit
            self._digits = "integers"
        else:
            self._long = LONG_INTEGER if self._digits == "integers" else b""
        self._shortest = SHORTEST if self._long else 0

    def call(self, payload: bytes, codec: Codec) -> bytes:
        """Answer one request, under the model's lock if its calls must not overlap.

        Raises MalformedBody, VariablesInvalid, RequestRejected for an exception with a status
        from 400 to 499, ModelRaised and every other exception of the model,
        SystemExit and KeyboardInterrupt included.
        """
        try:
            return self.call_for_one(payload, codec)
        except SeveralRows:
            return self._call_slowly(payload, codec)

    def call_for_one(self, payload: bytes, codec: Codec) -> bytes:
        """Answer a request of one row, as `call` does; raises SeveralRows if it has more."""
        model = self.model
        try:
            long = self._long
            if (
                long is not None
                and len(payload) >= self._shortest
                and long in payload.translate(DIGITS_AS_ZERO)
            ):
                variables = codec.decode_exactly(payload, self._digits)
            else:
                variables = codec.decode(payload)
            if type(variables) is Rows:
                raise SeveralRows
            if model.lock is None:
                return codec.encode(model.call(variables))
            with model.lock:
                return codec.encode(model.call(variables))
        except Exception as error:
            if self._long is None and _is_in_digits(error, payload):
                return self._call_slowly(payload, codec)
            if rejected := rejection.of(error):
                raise rejected from error
            raise
        finally:
            if guards.moved:
                guards.restore_cwd()

    def _call_slowly(self, payload: bytes, codec: Codec) -> bytes:
        """Answer a request of several rows, or with numbers of more digits than a double has."""
        model = self.model
        try:
            variables = codec.decode_exactly(payload, self._digits)
            if type(variables) is Rows:
                return codec.encode(row_calls.call(model, variables))
            with model.lock or nullcontext():
                return codec.encode(model.call(variables))
        except Exception as error:
            if rejected := rejection.of(error):
                raise rejected from error
            raise
        finally:
            guards.restore_cwd()

    async def call_async(self, payload: bytes, codec: Codec) -> bytes:
        """Answer one request with a model whose method is `async def`; raises as `call` does."""
        try:
            variables = codec.decode_exactly(payload, self._digits)
            if not self.one_at_a_time:
                return codec.encode(await self._awaited(variables))
            async with self._turn():
                return codec.encode(await self._awaited(variables))
        except Exception as error:
            if rejected := rejection.of(error):
                raise rejected from error
            raise
        finally:
            guards.restore_cwd()

    async def _awaited(self, variables: Any) -> Any:
        if type(variables) is Rows:
            return await row_calls.call_async(self.model, variables)
        return await self.model.call(variables)

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
        long = self._long
        for index, payload in enumerate(payloads):
            try:
                if (
                    long is not None
                    and len(payload) >= self._shortest
                    and long in payload.translate(DIGITS_AS_ZERO)
                ):
                    variables = codec.decode_exactly(payload, self._digits)
                else:
                    variables = codec.decode(payload)
                if type(variables) is not dict:  # a table has rows enough
                    outcomes[index] = self.outcome_of(payload, codec)
                    continue
                rows.append(model.bind(variables))
                indexes.append(index)
            except CallTimeout:
                raise
            except BaseException as error:  # noqa: BLE001  a validator may be the model's code
                outcomes[index] = (
                    self.outcome_of(payload, codec)
                    if _is_in_digits(error, payload)
                    else rejection.or_error(error)
                )
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


def _is_in_digits(error: BaseException, payload: bytes) -> bool:
    """Return whether variables may not fit because a double has fewer digits than their numbers."""
    return issubclass(type(error), VariablesInvalid | MalformedBody) and has_long_number(payload)


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
