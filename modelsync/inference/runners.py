"""`InProcessRunner`: loads a model in this process, calls it, and isolates its code from the rest.

All patches of the interpreter for models (guards, import hooks, crash reports) are behind it, in
`modelsync.models.isolation`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from copy import deepcopy
from typing import NoReturn, Self

from modelsync.errors import ModelUnavailable
from modelsync.inference.model_calls import ModelCalls
from modelsync.inference.outcome import Done, Outcome
from modelsync.inference.version_loading import LoadTerms
from modelsync.models.isolation import guards
from modelsync.models.loading import lifecycle, loader
from modelsync.models.loading.lifecycle import Wait
from modelsync.models.placement import Placement
from modelsync.models.types import LoadedModel, ModelSpec
from modelsync.models.versions import FittedVersion


class InProcessRunner(ModelCalls):
    """A model that runs in this process, in the thread that calls it.

    `hide_loop` is that of its `Placement`: in a thread with a running loop, call it `hidden`.
    `wait` waits for what an `async def` of the model has returned, in the loop that calls it.
    """

    hide_loop = False
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
        model.ready = None
        model.context = Context()


def _closed(_: object) -> NoReturn:
    raise ModelUnavailable("this version has been replaced; try again", retry_after=1)
