"""One model of a runner: decides in which thread it is called, and answers the calls of workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic, perf_counter
from typing import Any

from modelsync.errors import DeadlineExceeded, RequestError
from modelsync.inference.codec import Codec
from modelsync.inference.dataplane import DataPlane
from modelsync.inference.invocation import BatchInvocation
from modelsync.inference.latency import LatencyTracker, RunQueue
from modelsync.inference.loop_model import LoopModel
from modelsync.inference.messages import Call
from modelsync.inference.model_runner import RawOutcome
from modelsync.inference.outcome import Outcome
from modelsync.inference.pending import MAX_TURN
from modelsync.inference.runners import InProcessRunner
from modelsync.inference.thread_pool import PoolTask
from modelsync.inference.timeouts import Ticket
from modelsync.models import results
from modelsync.models.placement import Placement
from modelsync.models.types import LoadedModel, ModelSpec
from modelsync.protocols import json_body
from modelsync.runner.watch import MainThreadWatch

Reply = Callable[[Sequence[tuple[int, Outcome]]], None]
"""Sends answers to requests of one call, by their index; called in any thread."""


class JsonCodec:
    """The codec of the native protocol."""

    decode = staticmethod(json_body.parse)
    decode_exactly = staticmethod(json_body.parse_exactly)
    encode = staticmethod(results.dump)


CODEC = JsonCodec()


def _codec_of(spec: ModelSpec) -> Codec:
    """Return the codec of a model's requests; a plain model needs no module for tables."""
    if not spec.takes_tables:
        return CODEC
    from modelsync.protocols.tables import TABLES

    return TABLES


class InMainThread(LatencyTracker):
    """Of a model that the main thread always calls, however slow it is."""

    def __init__(self) -> None:
        super().__init__(0.0)

    def record_slow(self, seconds: float) -> bool:
        """Stay."""
        return False


class _Arrived:
    started = 0.0


class ServedModel:
    """A model that is called in the main thread, in threads, or as coroutines.

    `alone`: it is the only one of its process. Then the main thread calls it always if its calls
    must not overlap.
    """

    def __init__(
        self,
        runner: InProcessRunner,
        placement: Placement,
        dataplane: DataPlane,
        watch: MainThreadWatch,
        *,
        alone: bool,
    ) -> None:
        self._runner = runner
        self._name = runner.model.name
        self._codec = _codec_of(runner.model.spec)
        self._dataplane = dataplane
        self._watch = watch
        overlaps = placement.overlaps and runner.model.lock is None
        self._batches = runner.model.call_batch is not None
        # One thread that makes larger batches is faster than several that share the interpreter.
        suits = alone and (self._batches or not overlaps)
        bound = placement.main_thread or placement.place == "thread" or suits
        if bound and not runner.model.is_async:
            runner.latency = InMainThread()
        self._main = LoopModel(runner, dataplane, watch, RunQueue(), all_rows=True)

    @property
    def model(self) -> LoadedModel:
        """The model with its version."""
        return self._runner.model

    @property
    def busy(self) -> bool:
        """Whether a thread or a coroutine has a request for it."""
        return self._runner.busy

    def stop(self) -> None:
        """Have the model stop; it must not be called afterwards."""
        self._runner.stop()

    def close(self) -> None:
        """Free what it holds."""
        self._runner.close()

    @property
    def takes_several(self) -> bool:
        """Whether the calls of several workers are answered by one call of the model."""
        return self._batches and self._runner.latency.in_loop

    def answer(self, calls: Sequence[tuple[Call, Reply]]) -> None:
        """Call the model for all requests, of one call unless it `takes_several`.

        Each `Reply` gets the answers to its call, some of them later.
        """
        in_time = []
        for call, reply in calls:
            if monotonic() < call.deadline:
                in_time.append((call, reply))
            else:  # it has waited for its turn: nobody waits for it now
                late = DeadlineExceeded("its deadline has passed")
                reply([(index, late) for index in range(len(call.payloads))])
        if self.takes_several:
            self._batch(in_time)
            return
        for call, reply in in_time:
            if self._runner.latency.in_loop:
                self._one_by_one(call, reply)
            elif self._batches:
                self._batch_in_thread(call, reply)
            else:
                for index in range(len(call.payloads)):
                    self._submit(call, index, reply)

    def _submit(self, call: Call, index: int, reply: Reply) -> None:
        def done(outcome: Outcome) -> None:
            reply([(index, outcome)])

        payload, identity = call.payloads[index], call.identities[index]
        self._dataplane.submit_to(self._runner, payload, self._codec, identity, done)

    def _one_by_one(self, call: Call, reply: Reply) -> None:
        """Call the model in this thread for one request after the other, until their deadline."""
        answers: list[tuple[int, Outcome]] = []
        self._watch.deadline = call.deadline
        sent = now = perf_counter()
        for index, payload in enumerate(call.payloads):
            if monotonic() >= call.deadline:
                answers.append((index, DeadlineExceeded("its deadline has passed")))
                continue
            outcome = self._main.call(payload, self._codec, sent, now)
            if type(outcome) is bytes:
                answers.append((index, outcome))
            else:
                self._explain(outcome, call, index, reply)
            now = perf_counter()
            if now - sent > MAX_TURN:
                reply(answers)
                answers, sent = [], perf_counter()
        if answers:
            reply(answers)

    def _batch(self, calls: Sequence[tuple[Call, Reply]]) -> None:
        """Call the model in this thread once for the requests of all calls."""
        if not calls:
            return
        self._watch.deadline = max(call.deadline for call, _ in calls)
        payloads = [payload for call, _ in calls for payload in call.payloads]
        requests: Any = [_Arrived] * len(payloads)
        outcomes = self._main.call_batch(payloads, self._codec, requests)
        start = 0
        for call, reply in calls:
            end = start + len(call.payloads)
            self._reply_all(call, outcomes[start:end], reply)
            start = end

    def _batch_in_thread(self, call: Call, reply: Reply) -> None:
        """Call the model for a batch in a thread of the pool."""
        dataplane, runner, name = self._dataplane, self._runner, self._name
        requests: Any = [_Arrived] * len(call.payloads)
        context = runner.model.context.copy()

        def work(ticket: Ticket) -> None:
            row = dataplane.counters.rows[name]
            with BatchInvocation(row, requests, ticket=ticket) as invocation:
                invocation.outcomes = context.run(runner.call_batch, call.payloads, self._codec)
            runner.latency.record(invocation.seconds)
            if invocation.claimed:
                runner.end()
                self._reply_all(call, invocation.outcomes, reply)

        def on_expired(error: DeadlineExceeded) -> None:
            runner.give_up()
            refuse(error)

        def refuse(error: RequestError) -> None:
            runner.end()
            self._reply_all(call, [error] * len(call.payloads), reply)

        runner.begin()
        try:
            dataplane.pool.submit(PoolTask(name, work, on_expired, {"model": name}))
        except RequestError as error:
            refuse(error)

    def _reply_all(self, call: Call, outcomes: Sequence[RawOutcome], reply: Reply) -> None:
        answers: list[tuple[int, Outcome]] = []
        for index, outcome in enumerate(outcomes):
            if type(outcome) is bytes:
                answers.append((index, outcome))
            else:
                self._explain(outcome, call, index, reply)
        if answers:
            reply(answers)

    def _explain(self, outcome: RawOutcome, call: Call, index: int, reply: Reply) -> None:
        """Answer a request whose call has failed, now or from the thread that explains failures."""
        model, identity = self._runner.model, call.identities[index]
        self._dataplane.explain(outcome, model, identity, lambda said: reply([(index, said)]))
