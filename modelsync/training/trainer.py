"""The trainer: has queued jobs run, and settles those whose processes have died.

`python -m modelsync.training.trainer`, a child of the supervisor, with which it ends. It runs no
model code. Beside it, in threads: the mirror, the cleaning, and what starts trainings.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelsync import orphans, store
from modelsync.backoff import Backoff
from modelsync.errors import StoreUnavailable
from modelsync.observability.logs import event
from modelsync.settings import Settings
from modelsync.store import Store
from modelsync.store.records import Job, JobState
from modelsync.training import callback, child_process, mirror, schedule
from modelsync.training.asked_runs import AskedRuns
from modelsync.training.cleaning import Cleaning
from modelsync.training.collection import LOOK as LOOK_FOR_SAMPLES
from modelsync.training.collection import Collection
from modelsync.training.job import host_of
from modelsync.training.labels import GitLabels
from modelsync.training.launchers import NOT_RUN, Ended, JobLauncher, JobProcesses
from modelsync.training.loop import Loop
from modelsync.training.mirror import VersionMirror
from modelsync.training.release import KeptReleases
from modelsync.training.schedule import TrainingSchedule
from modelsync.training.stop import Stop
from modelsync.training.train_command import TrainChildren
from modelsync.training.workspace import Workspace

log = logging.getLogger("modelsync.training.trainer")  # also when it runs as __main__

TICK = 0.1
"""Seconds between two looks at the processes of jobs."""

LOOK = 0.5
"""Seconds between two looks at the rows of jobs."""

SILENCE = 30.0
"""Seconds without a report after which a job counts as lost; each reports every two seconds."""

SETTLING = 10.0
"""Seconds after an outage of the store in which no job counts as silent: none could report."""

GRACE = 5.0
"""Seconds in which jobs may still end when the service does; then they are queued again."""

MOST_STARTS = 3
"""Times that a job's process may die before it has claimed the job, or while it stores what was
fitted.
"""

AGAIN = Backoff(first=1.0, most=30.0)
"""Seconds before a job is started again."""

MOST_JOBS = 100_000


class Trainer:
    """Starts queued jobs, `concurrency` at a time, one of each model, the oldest first; marks those
    as lost that have no process any more.

    `launcher`: None where others start jobs. `home`: the state directory, None without one.
    """

    def __init__(
        self,
        opened: Store,
        config: Settings,
        launcher: JobLauncher | None,
        *,
        home: Path | None = None,
    ) -> None:
        self._catalog = opened.catalog
        self._config = config
        self._launcher = launcher
        self._home = home
        self._releases = KeptReleases(home) if home else None
        self._ended: dict[str, Ended] = {}
        self._starts: dict[str, int] = {}
        self._not_before: dict[str, float] = {}
        self._next_look = self._next_loss = 0.0

    def step(self, now: float) -> None:
        """Look at the processes, and at the rows if it is time. Raises StoreUnavailable."""
        if self._launcher:
            self._ended |= {one.job: one for one in self._launcher.ended()}
        if not self._ended and now < self._next_look:
            return
        try:
            self._look(now)
        except StoreUnavailable:
            self._next_loss = now + SETTLING
            raise
        self._next_look = now + LOOK

    def _look(self, now: float) -> None:
        live = self._catalog.jobs(live=True, limit=MOST_JOBS)
        if self._releases:
            self._releases.keep(live)
        if self._launcher:
            self._settle(live, self._launcher, now)
            self._start(live, self._launcher, now)
        if now >= self._next_loss:
            self._next_loss = now + SILENCE / 6
            for job in self._catalog.lose(SILENCE):
                self._say_lost(job, f"nothing was heard of it for {SILENCE:g} s")

    # --- starting ---------------------------------------------------------------------------------

    def _start(self, live: Sequence[Job], launcher: JobLauncher, now: float) -> None:
        # A process whose job has ended takes no place: it calls a webhook that may be slow.
        running = launcher.running() & {job.id for job in live}
        room = self._config.training.concurrency - len(running)
        busy = {job.model for job in live if job.state == "running" or job.id in running}
        for job in reversed(live):
            if room <= 0:
                return
            if job.state != "queued" or job.model in busy or self._not_before.get(job.id, 0) > now:
                continue
            launcher.start(job)
            busy.add(job.model)
            room -= 1

    # --- settling ---------------------------------------------------------------------------------

    def _settle(self, live: Sequence[Job], launcher: JobLauncher, now: float) -> None:
        """Decide about the jobs whose processes have ended before their rows have."""
        running = launcher.running()
        for job in live:
            ended = self._ended.get(job.id)
            if job.state == "queued" and ended:
                self._not_started(job, ended, now)
            elif job.state == "running" and launcher.owns(job) and job.id not in running:
                self._abandoned(job, ended, launcher, now)
        for job_id in self._starts.keys() - {job.id for job in live}:
            del self._starts[job_id]
            self._not_before.pop(job_id, None)
        self._ended.clear()

    def _not_started(self, job: Job, ended: Ended, now: float) -> None:
        """Its process has ended before it claimed the job, or has queued it again."""
        killed = ended.code in (-signal.SIGKILL, -signal.SIGTERM) and not ended.starved
        died = not killed and ended.code not in (0, NOT_RUN)
        starts = self._starts[job.id] = self._starts.get(job.id, 0) + died
        self._not_before[job.id] = now + AGAIN.pause(max(1, starts))
        if starts < MOST_STARTS:
            return
        # Claimed here, so that no other process starts it meanwhile.
        owner = f"trainer:{job.id}"
        if self._catalog.claim(owner, concurrency=MOST_JOBS, id=job.id):
            error = _error(ended) | {"message": f"its process does not start: {_how(ended)}"}
            self._end(job, owner, error, "failed")

    def _abandoned(self, job: Job, ended: Ended | None, launcher: JobLauncher, now: float) -> None:
        """Its process is gone, and the row says that it runs."""
        starts = self._starts.get(job.id, 0)
        fitted = self._home and Workspace(self._home, job.id).finished()
        if fitted and starts < MOST_STARTS:
            if self._not_before.get(job.id, 0) <= now:
                log.info("job %s: what it has fitted is stored now", job.id)
                self._starts[job.id] = starts + 1
                self._not_before[job.id] = now + AGAIN.pause(starts + 1)
                launcher.start(job)
            return
        error = _error(ended)
        if job.cancelling:
            self._end(job, job.owner, error, "cancelled")
        elif job.checkpoint and self._catalog.requeue(job.id, job.owner, message=error["message"]):
            self._not_before[job.id] = now + AGAIN.pause(1)
        else:
            self._end(job, job.owner, error, "lost")

    def _end(self, job: Job, owner: str, error: Mapping[str, Any], state: JobState) -> None:
        self._catalog.fail(job.id, owner, error, state)
        row = self._catalog.job(job.model, job.id)
        if row.state == state:  # it had not ended by itself just before
            self._say_lost(row, error["message"])

    def _say_lost(self, job: Job, why: str) -> None:
        event(
            log,
            logging.ERROR,
            f"the job is {job.state}",
            event="job",
            job=job.id,
            model=job.model,
            state=job.state,
            message=why,
        )
        if job.final and job.asked.webhook:
            arguments = (self._catalog, job, self._config)
            threading.Thread(target=callback.deliver, args=arguments, daemon=True).start()


def _error(ended: Ended | None) -> dict[str, Any]:
    """Return the error of a job whose process has ended like this; None: nobody saw it."""
    if ended and ended.starved:
        return {"stage": "memory", "kind": "", "message": f"its process was ended: {_how(ended)}"}
    code = ended.code if ended else None
    kind = signal.Signals(-code).name if code and -code in signal.valid_signals() else ""
    return {"stage": "crash", "kind": kind, "message": f"its process has ended: {_how(ended)}"}


def _how(ended: Ended | None) -> str:
    if ended is None or ended.code is None:
        return "with its service or machine"
    if ended.starved:
        return "the machine's memory ran out"
    if ended.code < 0:
        return f"signal {-ended.code} ({signal.Signals(-ended.code).name})"
    return f"exit code {ended.code}"


# --- the process ----------------------------------------------------------------------------------


def serve(config: Settings, stop: Stop) -> None:
    """Run the trainer, the mirror and the cleaning until the end is asked for."""
    home = config.state.home
    opened, children = store.open(config), orphans.Children()
    launcher = JobProcesses(home, children) if config.training.jobs == "process" else None
    trainer = Trainer(opened, config, launcher, home=home)

    def step(now: float) -> None:
        children.end_strangers()
        trainer.step(now)

    starters = _starters(config, opened, children)
    collection = Collection(home, opened.catalog, children)
    for loop in (
        Loop("samples", collection.step, LOOK_FOR_SAMPLES),
        Loop("the mirror", VersionMirror(home, opened).step, mirror.LOOK),
        Loop("labels", GitLabels(opened.catalog, home).step, 1.0),
        Loop("cleaning", Cleaning(home, opened).step, 30.0),
    ):
        loop.start(stop)
    threads = [Loop(one.name, one.step, schedule.LOOK).start(stop) for one in starters]
    Loop("the trainer", step, TICK).run(stop)
    for one, thread in zip(starters, threads, strict=True):
        thread.join(GRACE)
        one.stop(GRACE)
    collection.stop(GRACE)
    if launcher:
        launcher.stop(min(GRACE, config.server.drain_timeout))
    children.end_all()


def _starters(
    config: Settings, opened: Store, children: orphans.Children
) -> list[AskedRuns | TrainingSchedule]:
    """What starts trainings here: the schedules, and runs that were asked for."""
    if config.training.jobs == "off":
        return []
    owner = f"{host_of(config.state.home)}{os.getpid()}-{secrets.token_hex(4)}"
    commands = TrainChildren(children)
    asked = AskedRuns(opened.catalog, commands, owner, config.training.concurrency)
    return [asked, *schedule.schedules(config, opened.catalog, commands, owner)]


def main(arguments: Sequence[str] = ()) -> int:
    """Run until SIGTERM; end with the process `--parent`. Returns the exit code."""
    return child_process.run("modelsync.training.trainer", arguments, serve)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
