"""Brings up a version of a model beside the one that serves, and closes the one it replaces."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic, sleep

from modelsync.errors import ModelBroken, ModelsyncError, Overloaded
from modelsync.inference.dataplane import DataPlane
from modelsync.inference.model_runner import ModelRunner
from modelsync.inference.reclaim import reclaim
from modelsync.inference.threads import start_thread
from modelsync.models.loading import loader
from modelsync.models.types import Fault
from modelsync.models.versions import FittedVersion

log = logging.getLogger(__name__)

GRACE = 1.0
"""Seconds for which a runner that was replaced is kept at least: a thread may be about to call it.
"""

PAUSE = 0.05
"""Seconds between two looks whether a runner has answered its last request."""


def bring_up(
    dataplane: DataPlane, current: ModelRunner, version: FittedVersion | None, limit: float
) -> ModelRunner:
    """Load a version where its model runs, start it and call it once; waits for at most `limit`
    seconds, in no event loop.

    Raises ModelBroken, and whatever else of our errors says why it cannot be loaded.
    """
    ended = threading.Event()
    made: list[ModelRunner | ModelsyncError] = []
    given_up = threading.Lock()

    def work() -> None:
        try:
            made.append(_loaded(dataplane, current, version))
        except ModelsyncError as error:
            made.append(error)
        ended.set()
        if not given_up.acquire(blocking=False):  # nobody waits for it any more
            _close(made[0])

    start_thread(work, f"modelsync-load-{current.name}")
    if not ended.wait(limit) and given_up.acquire(blocking=False):
        loader.give_up_turn()
        message = f"it has not been loaded, started and called once within {limit:g} s"
        raise ModelBroken(Fault("timeout", message, transient=True))
    ended.wait()
    [found] = made
    if isinstance(found, ModelsyncError):
        raise found
    return found


def _loaded(
    dataplane: DataPlane, current: ModelRunner, version: FittedVersion | None
) -> ModelRunner:
    runner = current.fitted(version)
    dataplane.prepare(runner)
    try:
        runner.warm_up()
    except ModelsyncError:
        _close(runner)
        raise
    return runner


def retire(runner: ModelRunner, idle: Callable[[], bool], limit: float) -> None:
    """Close a runner that gets no more requests, once it has answered those that it has.

    Returns at once. `idle` tells whether none of them waits elsewhere. After `limit` seconds it is
    closed anyway: by then their deadlines have answered them.
    """

    def work() -> None:
        began = monotonic()
        sleep(GRACE)
        while (runner.busy or not idle()) and monotonic() - began < limit:
            sleep(PAUSE)
        _close(runner)
        reclaim()

    try:
        start_thread(work, f"modelsync-retire-{runner.name}")
    except Overloaded as error:
        log.error("a replaced version of %s stays in memory: %s", runner.name, error)


def _close(runner: ModelRunner | ModelsyncError) -> None:
    """Have a model stop, and free what it holds; called in a thread that may hang."""
    if isinstance(runner, ModelRunner):
        runner.stop()
        runner.close()
