"""Runs a model in a thread of its own, which loads it after the fork and alone calls it.

For models that hold what a fork or another thread breaks: connections, pools, thread-local values.
The thread answers one call after the other. A call that passes its deadline is interrupted; if it
does not end then, its thread is given up, with all locks that it may hold, and another thread loads
the model again.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Sequence
from contextlib import suppress
from queue import SimpleQueue
from time import sleep

from modelsync.backoff import Backoff
from modelsync.errors import ModelBroken, Overloaded
from modelsync.inference.dispatch import DispatchedRunner, Frame
from modelsync.inference.model_thread import ModelThread
from modelsync.inference.runners import InProcessRunner
from modelsync.inference.threads import start_thread
from modelsync.inference.version_loading import LoadTerms, load_first
from modelsync.models import examples
from modelsync.models.loading import loader
from modelsync.models.types import LoadedModel, ModelSpec
from modelsync.models.versions import FittedVersion

log = logging.getLogger(__name__)

RETRY = Backoff(first=2.0, most=300.0)
"""Seconds between two attempts to load and start a model that fails."""

GRACE = 0.5
"""Seconds that an interrupted call has to end, before its thread is given up."""


class ThreadRunner(DispatchedRunner):
    """A model in a thread of its own in this process.

    Nothing is loaded before `warm_up` or the first request, so that the thread lives in the process
    that serves; `model` is filled in when the thread has loaded it. A model that was `loaded`
    before the fork only gets a thread that makes its calls, which must not overlap.
    `versions` are those of which the thread loads the first that loads, at last the model without
    any; `exact`: it loads the only one there is, or none.
    """

    def __init__(
        self,
        spec: ModelSpec,
        loaded: InProcessRunner | None = None,
        *,
        versions: Sequence[FittedVersion] = (),
        exact: bool = False,
        terms: LoadTerms | None = None,
    ) -> None:
        first = versions[0] if versions else None
        super().__init__(loaded.model if loaded else _described(spec, first))
        self.loaded = loaded
        self.refused = loaded.refused if loaded else None
        self._versions = versions
        self._exact = exact
        self._terms = terms
        self._frames: SimpleQueue[Frame | None] = SimpleQueue()
        self._thread: ModelThread | None = None

    def fitted(self, version: FittedVersion | None) -> ThreadRunner:
        """Return a runner for another fitted version, with a thread of its own.

        The thread loads it in `warm_up`, unless this model was loaded before the fork.
        """
        if self.loaded:
            return ThreadRunner(self.model.spec, self.loaded.fitted(version))
        versions = () if version is None else (version,)
        runner = ThreadRunner(self.model.spec, versions=versions, exact=True, terms=self._terms)
        known = version.call_seconds if version else None
        runner.model.call_seconds = known or self.model.call_seconds
        return runner

    def dispatch(self, frame: Frame) -> None:
        """Put the frame into the queue of the thread."""
        if self._thread is None:
            self._begin()
        self._frames.put(frame)

    def warm_up(self) -> None:
        """Load and start the model and call it with its first example, all in its thread.

        Returns once it has answered. Raises ModelBroken; then its thread tries again and again.
        """
        thread = self._begin()
        thread.tried.wait()
        if thread.fault:
            raise ModelBroken(thread.fault)

    @property
    def loading_since(self) -> float:
        """When the thread began to load; infinite while it waits for another model's load."""
        return self._thread.loading_since if self._thread else math.inf

    def expired(self, frame: Frame) -> None:
        """Interrupt the call of the frame, if it runs; its thread is given up if it does not end.

        A frame that waits in the queue is skipped when its turn comes.
        """
        thread = self._thread
        if thread and not thread.tried.is_set():
            loader.give_up_turn()
            self.report("it is being loaded, which has not ended yet")
            if thread.tried.is_set():  # just now
                self.report(thread.fault)
        elif thread and thread.interrupt(frame):
            with suppress(Overloaded):  # no thread for it: the next frame that expires tries again
                start_thread(lambda: self._replace(thread, frame), "modelsync-replace")

    def stop(self) -> None:
        """Have the thread call the model's `stop`, after the frames that wait; wait for its end."""
        self._frames.put(None)
        if self._thread:
            self._thread.join()

    def close(self) -> None:
        """End the thread, and free all that it holds."""
        self.stop()
        if self._thread:
            self._thread.close()

    # --- the thread -------------------------------------------------------------------------------

    def _begin(self) -> ModelThread:
        with self._lock:
            if self._thread is None:
                self._thread = self._new_thread(again=False)
            return self._thread

    def _new_thread(self, *, again: bool) -> ModelThread:
        thread = ModelThread(
            self.model.spec,
            self._frames,
            self._tried,
            self._left,
            self._load,
            kept=self.loaded is not None,
            again=again,
        )
        thread.start()
        return thread

    def _load(self) -> InProcessRunner:
        """Return the model, loaded in its thread if it was not before. Raises ModelBroken."""
        if self.loaded:
            return self.loaded

        def load(version: FittedVersion | None) -> InProcessRunner:
            return InProcessRunner.load(self.model.spec, fitted=version, terms=self._terms)

        if self._exact:
            return load(self._versions[0] if self._versions else None)
        return load_first(self.model.spec, self._versions, load)

    def _tried(self, thread: ModelThread) -> float:
        """Take over what the thread has loaded; after a failure return the pause before the next.

        Called in the thread.
        """
        if not thread.fault and not self.loaded:
            _describe(self.model, thread.model)
            self.refused = thread.refused
            # A thread that takes the place of this one answers with the same version.
            fitted = thread.model.fitted
            self._versions, self._exact = () if fitted is None else (fitted,), True
        self.report(thread.fault)
        return RETRY.pause(thread.failures, random.random())  # noqa: S311  no secret

    def _replace(self, thread: ModelThread, frame: Frame) -> None:
        """Load the model in another thread, unless this one ends its call in `GRACE` seconds.

        A call that has waited for its turn has as much time as one that has not: a busy model does
        not hang.
        """
        sleep(max(GRACE, frame.timeout - thread.has_run()))
        with self._lock:
            if self._thread is not thread or not thread.give_up(frame):
                return
            self.hung += 1
            self._thread = None  # if the system starts no other now, the next request tries again
            self._thread = self._new_thread(again=True)
        fields = {"event": "model_thread_replaced", "model": self.model.name}
        message = "%s hangs in its thread: another one takes its place"
        log.error(message, self.model.name, extra={"fields": fields})

    def _left(self) -> None:
        """A thread that was given up has ended."""
        with self._lock:
            self.hung -= 1


_DESCRIPTION = (
    "spec", "is_async", "schema", "doc", "examples", "bind", "call_batch", "package", "fitted",
    "version",
)  # fmt: skip


def _described(spec: ModelSpec, fitted: FittedVersion | None) -> LoadedModel:
    """Return what is known of a model before it is loaded."""
    known = examples.read(spec.path.absolute())
    return LoadedModel(spec, call=_not_here, examples=known, fitted=fitted)


def _describe(model: LoadedModel, loaded: LoadedModel) -> None:
    for name in _DESCRIPTION:
        setattr(model, name, getattr(loaded, name))


def _not_here(variables: object) -> None:
    raise AssertionError("only the model's own thread calls it")
