"""Explains failed calls: turns what a model raised into the error of the client, and logs it.

An exception with which the model rejects the request is the client's fault: no error in the log.

The parts of an exception are the model's code: its message may take seconds to make, may quote an
input of 9 MB, or may raise SystemExit. So it is made in threads of its own, in bounded time, and
never in an event loop or in a thread that calls models.
"""

from __future__ import annotations

import logging

from modelsync.errors import (
    DeadlineExceeded,
    ModelRaised,
    Overloaded,
    RequestError,
    RequestRejected,
)
from modelsync.inference.interrupt import CallTimeout
from modelsync.inference.invocation import INTERRUPTED
from modelsync.inference.model_runner import RawOutcome
from modelsync.inference.outcome import Done
from modelsync.inference.row_calls import RowRaised
from modelsync.inference.thread_pool import PoolTask, ThreadPool
from modelsync.inference.timeouts import Ticket
from modelsync.models import rejection
from modelsync.models.diagnosis import hide_paths
from modelsync.models.types import LoadedModel
from modelsync.observability.redaction import redacted
from modelsync.observability.tracebacks import UNPRINTABLE, bounded, message_of

log = logging.getLogger(__name__)

MESSAGE_LIMIT = 1000
"""Characters of a model's exception that a client gets."""

THREADS = 2
"""Exceptions that are explained at a time; one more does not wait for a message that hangs."""

MAX_WAITING = 1000
"""Exceptions that may wait to be explained; any more are answered without their message."""

TIME = 1.0
"""Seconds that an exception may take to say what it is."""


class Explainer:
    """Explains the failures of all models; `folder` is the path of their folders, ending in `/`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._pool = ThreadPool(THREADS, MAX_WAITING, TIME)

    @property
    def hung(self) -> int:
        """How many threads have been given up, in a message that hangs, and have not ended."""
        return self._pool.hung

    def explain(self, outcome: RawOutcome, model: LoadedModel, request_id: str, done: Done) -> None:
        """Give `done` the outcome of a call for the client: a result or a refusal at once, the
        failure of a model from another thread.
        """
        kind = type(outcome)
        if issubclass(kind, bytes):
            done(outcome)  # type: ignore[arg-type]
        elif issubclass(kind, CallTimeout):
            done(DeadlineExceeded(INTERRUPTED))
        elif issubclass(kind, RequestError) and not issubclass(kind, ModelRaised | RequestRejected):
            done(_freed(outcome))  # type: ignore[arg-type]
        else:
            self._submit(outcome, model, request_id, done)  # type: ignore[arg-type]

    def _submit(
        self, error: BaseException, model: LoadedModel, request_id: str, done: Done
    ) -> None:
        """Explain a failure in a thread; without its message if that takes longer than `TIME`."""
        name = _name_of(error)
        fields = {"model": model.name, "version": model.version, "request_id": request_id}

        def work(ticket: Ticket) -> None:
            answer, said, trace = self._explained(error, name, model)
            if ticket.claim():
                level = logging.INFO if isinstance(answer, RequestRejected) else logging.ERROR
                log.log(level, "%s", said, extra={"fields": fields, "trace": trace})
                done(answer)

        def unexplained(_: RequestError) -> None:
            if isinstance(error, RequestRejected):
                done(_freed(error))
            else:
                done(ModelRaised(name, UNPRINTABLE))

        try:
            job = PoolTask(
                f"the message of {name}, raised by {model.name},", work, unexplained, fields
            )
            self._pool.submit(job)
        except Overloaded as refused:
            log.error("%s raised %s", model.name, name, extra={"fields": fields})
            unexplained(refused)

    def _explained(
        self, error: BaseException, name: str, model: LoadedModel
    ) -> tuple[RequestError, str, str]:
        """Return the error for the client, and for the log what happened, with the traceback."""
        try:
            if type(error) is RowRaised and (cause := error.__cause__):
                answer, said, trace = self._explained(cause, _name_of(cause), model)
                return _in_row(error.row, answer), said, trace
            if isinstance(error, RequestRejected):
                answer = self._rejected(error, model)
                return answer, f"{model.name} rejected a request with {answer.status}: {answer}", ""
            if isinstance(error, ModelRaised):
                trace = bounded(error.__cause__) if error.__cause__ else ""
                return _freed(error), f"{model.name}: {error}", trace
            message, trace = self._message(message_of(error), model), bounded(error)
            _forget_frames(error)
            return ModelRaised(name, message), f"{model.name} raised {name}", trace
        except BaseException as problem:  # noqa: BLE001  parts of an exception are the model's code
            kind = type.__repr__(type(problem))
            said = f"{model.name} raised an exception that cannot be shown: {kind}"
            return ModelRaised("Exception", UNPRINTABLE), said, ""

    def _rejected(self, error: RequestRejected, model: LoadedModel) -> RequestRejected:
        """Return the rejection with the message of the exception that is its cause."""
        cause = error.__cause__
        said = rejection.message_of(cause) if cause else str(error)
        if error.row is not None:
            said = f"{_place(error.row)}: {said}"
        _forget_frames(error)
        if cause:
            _forget_frames(cause)
        return RequestRejected(error.status, self._message(said, model), error.kind)

    def _message(self, said: str, model: LoadedModel) -> str:
        return hide_paths(redacted(said), self._folder_of(model))[:MESSAGE_LIMIT]

    def _folder_of(self, model: LoadedModel) -> str:
        return f"{self._folder}{model.name}/" if self._folder else ""


def _in_row(row: int, error: RequestError) -> RequestError:
    """Return the error of a call for one row of several, which names it."""
    if not isinstance(error, ModelRaised):
        return error
    said = str(error).removeprefix(error.kind).removeprefix(": ")
    return ModelRaised(error.kind, f"{_place(row)}: {said}")


def _place(row: int) -> str:
    return f"variables[{row}]"


def _name_of(error: BaseException) -> str:
    try:
        return str(type(error).__name__)[:MESSAGE_LIMIT]
    except BaseException:  # noqa: BLE001  a metaclass of the model's own
        return "Exception"


def _freed(error: RequestError) -> RequestError:
    _forget_frames(error)
    return error


def _forget_frames(error: BaseException) -> None:
    """Free what the frames of an exception hold: what the model was given and has returned.

    One of them holds the exception itself, a cycle that would wait for the garbage collector.
    """
    for name in ("__traceback__", "__cause__", "__context__"):
        object.__setattr__(error, name, None)  # never the `__setattr__` of a model's own type
