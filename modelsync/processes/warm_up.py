"""Warms up the models of a worker: each is called once, so that no client meets a cold start.

A model that hangs must not keep the others from serving. It hangs if it has started threads, an
executor or an OpenMP pool when it was loaded: threads do not survive the fork of the workers.
"""

from __future__ import annotations

import gc
import logging
import threading
from time import monotonic

from modelsync.inference.dataplane import DataPlane
from modelsync.inference.runners import ModelRunner

log = logging.getLogger(__name__)

BUDGET = 5.0
"""Seconds after which the models that are left start cold."""

LIMIT = 10.0
"""Seconds after which a model is suspended that does not answer, unless a prediction has less."""


def warm_up(dataplane: DataPlane) -> None:
    """Call each model with its first example, each in a thread that can be given up.

    A model that does not answer in time is suspended: requests for it get 503 with the reason until
    its call ends. The calling thread waits for one model after the other, not longer than `LIMIT`
    for each.
    """
    limit = min(LIMIT, dataplane.timeout)
    deadline = monotonic() + BUDGET
    for name, runner in dataplane.runners.items():
        if monotonic() > deadline:
            break
        started = monotonic()
        if not _ends(dataplane, name, runner, limit):
            deadline += monotonic() - started  # the others are not to blame
    gc.collect()


def _ends(dataplane: DataPlane, name: str, runner: ModelRunner, limit: float) -> bool:
    """Tell whether a model's first call ends within `limit` seconds; if not, suspend the model."""
    ended = threading.Event()

    def call() -> None:
        runner.warm_up()
        ended.set()
        if dataplane.suspended.pop(name, None):
            log.info("%s has answered its first example after all: it serves now", name)

    threading.Thread(target=call, name=f"modelsync-warm-up-{name}", daemon=True).start()
    if ended.wait(limit):
        return True
    reason = (
        f"it answered its example in the check, but not within {limit:g} s in a worker: threads, "
        "executors and pools that a model starts when it is loaded do not survive the fork of the "
        "workers; start them in the first call, or set MODELSYNC_PRELOAD=false"
    )
    dataplane.suspended[name] = reason
    fields = {"event": "model_suspended", "model": name}
    log.error("%s is suspended: %s", name, reason, extra={"fields": fields})
    if ended.is_set():  # it has just ended, perhaps before it was suspended
        dataplane.suspended.pop(name, None)
    return False
