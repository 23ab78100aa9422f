"""The dispatcher: makes a Job of the cluster for each queued row, and notices how it ends.

A process of its own in a cluster (`modelsync job dispatch`): it has the right to make Jobs, so it
runs no model, and the pods that run models do not have that right.
"""

from __future__ import annotations

from modelsync import store
from modelsync.settings import Settings
from modelsync.store.catalog import Catalog
from modelsync.training.cluster_jobs import ClusterJobs
from modelsync.training.loop import Loop
from modelsync.training.stop import Stop
from modelsync.training.trainer import Trainer

TICK = 0.25
"""Seconds between two looks at Jobs and rows."""

CLEARING = 5.0
"""Seconds between two looks for Jobs that nobody waits for."""

GRACE = 60.0
"""Seconds that the pod of a job may still run when its row has ended, for its webhook."""

MOST_JOBS = 100_000


class Leftovers:
    """Removes Jobs whose rows have ended: one that was cancelled before its pod got a node."""

    def __init__(self, catalog: Catalog, launcher: ClusterJobs) -> None:
        self._catalog = catalog
        self._launcher = launcher
        self._since: dict[str, float] = {}
        self._next = 0.0

    def step(self, now: float) -> None:
        """Remove what is left, if it is time to look. Raises StoreUnavailable."""
        if now < self._next:
            return
        self._next = now + CLEARING
        running = self._launcher.running()
        over = running - {job.id for job in self._catalog.jobs(live=True, limit=MOST_JOBS)}
        self._since = {job: self._since.get(job, now) for job in over}
        waiting = self._launcher.waiting()
        for job, since in self._since.items():
            if job in waiting or now > since + GRACE:
                self._launcher.kill(job)


def serve(config: Settings, stop: Stop) -> None:
    """Dispatch until the end is asked for; Jobs go on. Raises SettingsError."""
    launcher, opened = ClusterJobs(config), store.open(config)
    trainer = Trainer(opened, config, launcher)
    leftovers = Leftovers(opened.catalog, launcher)

    def step(now: float) -> None:
        trainer.step(now)
        leftovers.step(now)

    Loop("the dispatcher", step, TICK).run(stop)
