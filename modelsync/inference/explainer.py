"""Explains failed calls: turns what a model raised into the error of the client, and logs it.

The parts of an exception are the model's code: its message may take seconds to make, may quote an
input of 9 MB, or may raise SystemExit. So it is made in threads of its own, in bounded time, and
never in an event loop or in a thread that calls models.
"""

from __future__ import annotations

import logging

from modelsync.errors import DeadlineExceeded, ModelRaised, Overloaded, RequestError
from modelsync.inference.interrupt import CallTimeout
from modelsync.inference.invocation import INTERRUPTED
from modelsync.inference.model_runner import RawOutcome
from modelsync.inference.outcome import Done
from modelsync.inference.thread_pool import PoolTask, ThreadPool
from modelsync.inference.timeouts import Ticket
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
        elif issubclass(kind, RequestError) and not issubclass(kind, ModelRaised):
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
                log.error("%s", said, extra={"fields": fields, "trace": trace})
                done(answer)

        def unexplained(_: RequestError) -> None:
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
            if isinstance(error, ModelRaised):
                trace = bounded(error.__cause__) if error.__cause__ else ""
                return _freed(error), f"{model.name}: {error}", trace
            message = hide_paths(redacted(message_of(error)), self._folder_of(model))
            answer, trace = ModelRaised(name, message[:MESSAGE_LIMIT]), bounded(error)
            _forget_frames(error)
            return answer, f"{model.name} raised {name}", trace
        except BaseException as problem:  # noqa: BLE001  parts of an exception are the model's code
            kind = type.__repr__(type(problem))
            said = f"{model.name} raised an exception that cannot be shown: {kind}"
            return ModelRaised("Exception", UNPRINTABLE), said, ""

    def _folder_of(self, model: LoadedModel) -> str:
        return f"{self._folder}{model.name}/" if self._folder else ""


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
