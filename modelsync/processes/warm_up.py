"""Starts the models of a worker and calls each once, so that no client meets a cold start.

A model that fails or hangs must not keep the others from serving: it is suspended, by name, with
the reason. A model of the workers hangs if it has started threads, an executor or an OpenMP pool
when it was loaded: threads do not survive the fork of the workers.
"""

from __future__ import annotations

import gc
import random
import threading
from collections.abc import Callable
from time import monotonic, sleep

from modelsync.backoff import Backoff
from modelsync.errors import ModelBroken, Overloaded
from modelsync.inference.dataplane import DataPlane
from modelsync.inference.model_runner import ModelRunner
from modelsync.inference.runners import InProcessRunner
from modelsync.models.loading import loader

BUDGET = 5.0
"""Seconds after which the models that are left start cold."""

LIMIT = 10.0
"""Seconds after which a model is suspended that does not answer, unless a prediction has less."""

STOP_LIMIT = 3.0
"""Seconds that the models have for their `stop`."""

TICK = 0.05
"""Seconds between two looks at the time that a model takes."""

RETRY = Backoff(first=2.0, most=300.0)
"""Seconds between two attempts to start a model whose `start` fails."""


def warm_up(
    dataplane: DataPlane, load_limit: float, on_step: Callable[[], None] = lambda: None
) -> None:
    """Start each model and call it with its first example, in a thread that can be given up.

    A model that does not answer in time is suspended: requests for it get 503 with the reason until
    its call ends. One whose `start` fails, too, and it is tried again with back-off. Models that
    load in their own threads do so side by side; they, and models with a `start`, have `load_limit`
    seconds each. `on_step` is called after each model. Returns when all have answered or failed.
    """
    limit = min(LIMIT, dataplane.timeout)
    here, elsewhere = [], []
    for name, runner in dataplane.runners.items():
        if isinstance(runner, InProcessRunner):
            here.append(
                _Start(dataplane, name, runner, load_limit if runner.model.start else limit)
            )
        else:
            elsewhere.append(_Start(dataplane, name, runner, load_limit))
    for one in elsewhere:
        one.begin()
    deadline = monotonic() + BUDGET
    for one in here:
        if monotonic() > deadline and one.runner.model.start is None:
            continue
        began = monotonic()
        one.begin()
        if not one.ends():
            deadline += monotonic() - began  # the others are not to blame
        on_step()
    for one in elsewhere:
        one.ends()
        on_step()
    gc.collect()


class _Start:
    """The start of one model, in a thread; `limit` in seconds."""

    def __init__(self, dataplane: DataPlane, name: str, runner: ModelRunner, limit: float) -> None:
        self.runner = runner
        self._dataplane = dataplane
        self._name = name
        self._limit = limit
        self._began = 0.0
        self._tried = threading.Event()

    def begin(self) -> None:
        """Start the model; returns at once."""
        self._began = monotonic()
        name = f"modelsync-warm-up-{self._name}"
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def ends(self) -> bool:
        """Tell whether the model answers or fails in time; if not, suspend it."""
        while not self._tried.wait(TICK):
            since = max(self._began, self.runner.loading_since)
            if monotonic() > since + self._limit:
                break
        if self._tried.is_set():
            return True
        loader.give_up_turn()
        self._suspend(self._late())
        if self._tried.is_set():  # it has just ended, perhaps before it was suspended
            self._suspend("")
        return False

    def _run(self) -> None:
        failures = 0
        while not self._started():
            self._tried.set()
            if not isinstance(self.runner, InProcessRunner) or not self._serves:
                return  # it tries again by itself, and reports it
            failures += 1
            sleep(RETRY.pause(failures, random.random()))  # noqa: S311  no secret
        self._tried.set()
        self._suspend("")

    @property
    def _serves(self) -> bool:
        """Whether no other runner has the place of this one by now."""
        return self._dataplane.runners[self._name] is self.runner

    def _suspend(self, reason: str) -> None:
        if self._serves:
            self._dataplane.suspend(self._name, reason)

    def _started(self) -> bool:
        try:
            self.runner.warm_up()
        except (ModelBroken, Overloaded) as error:
            self._suspend(str(error))
            return False
        return True

    def _late(self) -> str:
        limit = f"{self._limit:g} s"
        if self.runner.loading_since:
            return f"it has not been loaded, started and called once within {limit} in a worker"
        if self.runner.model.start is not None:
            return f"its start has not ended, or its first example is not answered, within {limit}"
        return (
            f"it answered its example in the check, but not within {limit} in a worker: threads, "
            "executors and pools that a model starts when it is loaded do not survive the fork of "
            "the workers; start them in a method `start(self)`, or set MODELSYNC_PRELOAD=false"
        )


def stop(dataplane: DataPlane) -> None:
    """Have each model stop, all at once, before the worker ends; wait at most `STOP_LIMIT`."""
    deadline = monotonic() + STOP_LIMIT
    threads = []
    for name, runner in dataplane.runners.items():
        thread = threading.Thread(target=runner.stop, name=f"modelsync-stop-{name}", daemon=True)
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join(max(0.0, deadline - monotonic()))
