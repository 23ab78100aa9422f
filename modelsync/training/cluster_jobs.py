"""Jobs of a cluster: `modelsync job run ID` in a Kubernetes Job, from the template of the chart.

The Job's pod has the image, settings and secrets of the pods that serve; it fetches the commit
that the row names. The API server says which of them have ended, and why.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from modelsync.cluster.jobs import JobsFromTemplate, JobStatus
from modelsync.errors import ClusterUnreachable, SettingsError, StoreUnavailable
from modelsync.settings import Settings
from modelsync.store.records import Job
from modelsync.training.launchers import Ended

LOOK = 0.5
"""Seconds for which the list of Jobs counts as new."""

ENDING = 10.0
"""Seconds for which a process may live on whose pod the API server has forgotten: it is being told
to end, and may queue its job again.
"""

PENDING = 30.0
"""Seconds after which it is logged why the pod of a Job does not run."""

log = logging.getLogger(__name__)


class ClusterJobs:
    """A `JobLauncher` that starts Jobs of Kubernetes."""

    def __init__(self, config: Settings) -> None:
        """Raise SettingsError without a cluster, a template, or a database that pods share."""
        if not config.training.template:
            raise SettingsError(
                "MODELSYNC_JOB_TEMPLATE is not set: the CronJob whose template Jobs are made from"
            )
        if (config.store.database_url.read() or "sqlite").startswith("sqlite"):
            raise SettingsError(
                "MODELSYNC_JOBS=kubernetes needs MODELSYNC_DATABASE_URL: the pod of a Job cannot "
                "reach a SQLite file in another pod"
            )
        self._follows = not config.standalone
        self._jobs = JobsFromTemplate(config.training.template)
        self._seen: list[JobStatus] = []
        self._looked = float("-inf")
        self._begun: dict[str, float] = {}
        self._told: set[str] = set()
        self._unsettled: dict[str, tuple[JobStatus, float]] = {}
        self._before: dict[str, JobStatus] = {}

    def start(self, job: Job) -> None:
        """Make the Job of a row, for the commit of that row; of a folder each image has its own."""
        # Proven: it served when the job was asked for, whatever else is broken in it.
        names = ("MODELSYNC_GIT_REVISION", "MODELSYNC_GIT_PROVEN") if self._follows else ()
        with _told_as_outage():
            self._jobs.create(
                job.id,
                [job.id],
                dict.fromkeys(names, job.asked.commit),
                {"modelsync.dev/model": job.model},
            )
        self._begun[job.id] = monotonic()
        self._looked = float("-inf")

    def running(self) -> set[str]:
        """Return the ids of the Jobs that have not ended, those that wait for a node included."""
        return {one.id for one in self._look() if one.phase != "ended"} | {
            one.id for one, _ in self._unsettled.values()
        }

    def ended(self) -> list[Ended]:
        """Return those that have ended, or were removed, since this was called last."""
        now = {one.uid: one for one in self._look()}
        for uid, one in self._before.items():
            if uid not in now and one.phase != "ended":
                self._unsettled[uid] = (one, monotonic())
        self._before = now
        found = []
        for uid, one in now.items():
            if one.phase == "ended" and uid not in self._told and uid not in self._unsettled:
                with _told_as_outage():
                    end = self._jobs.end_of(one.name)
                self._told.add(uid)
                log.info("the Job %s has ended: %s", one.name, end.why or end.code)
                if end.code is None:
                    self._unsettled[uid] = (one, monotonic())
                else:
                    found.append(Ended(one.id, end.code, end.starved))
        self._told &= now.keys()
        return found + self._settled()

    def _settled(self) -> list[Ended]:
        """Those whose pods were gone some time ago: their processes have ended by now."""
        over = [uid for uid, (_, since) in self._unsettled.items() if monotonic() > since + ENDING]
        return [Ended(self._unsettled.pop(uid)[0].id) for uid in over]

    def waiting(self) -> set[str]:
        """Return the ids of the Jobs whose pods do not run yet."""
        return {one.id for one in self._look() if one.phase == "waiting"}

    def owns(self, job: Job) -> bool:
        """Whether a row is run by the pod of one of our Jobs."""
        return job.owner.startswith(f"{self._jobs.template}-")

    def kill(self, job: str) -> None:
        """Remove the Job of a row, and end its pod."""
        for one in self._look():
            if one.id == job and one.phase != "ended":
                with _told_as_outage():
                    self._jobs.delete(one.name)
        self._looked = float("-inf")

    def stop(self, grace: float) -> None:
        """Do nothing: Jobs outlive whoever has started them."""

    def _look(self) -> list[JobStatus]:
        if monotonic() > self._looked + LOOK:
            with _told_as_outage():
                self._seen = self._jobs.all()
                self._looked = monotonic()
                self._say_pending()
        return self._seen

    def _say_pending(self) -> None:
        """Log once for each Job why its pod does not run."""
        waiting = {one.id: one for one in self._seen if one.phase == "waiting"}
        for job, begun in [*self._begun.items()]:
            if job not in waiting:
                del self._begun[job]
            elif monotonic() > begun + PENDING:
                del self._begun[job]
                why = self._jobs.end_of(waiting[job].name).why
                log.warning("the pod of job %s does not run yet: %s", job, why or "it starts")


@contextmanager
def _told_as_outage() -> Iterator[None]:
    """Treat an API server that is away like a database that is away: wait for it."""
    try:
        yield
    except ClusterUnreachable as error:
        raise StoreUnavailable(str(error)) from None
