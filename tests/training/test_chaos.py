"""Many jobs while somebody kills processes at random: each ends in a known state, each model has
one current version, and no row is without its blob.

`make test-jobs` runs hundreds of them, in SQLite and in PostgreSQL; CI a few.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from modelsync.releases.fitted import FittedVersions
from modelsync.settings import Secret
from modelsync.settings.training import StoreSettings
from modelsync.store.records import Job
from tests.fixtures.postgres import PostgresServer, programs
from tests.fixtures.processes import gone, marked
from tests.fixtures.service import Service, serving, write_model
from tests.training.jobs import Jobs
from tests.training.storing import digest
from tests.waiting import patient, until

MANY = int(os.environ.get("MODELSYNC_TEST_JOBS", "500"))
MODELS = 8
FINAL_WITHIN = 60.0

MODEL = """
import time

class {name}:
    def fit(self, x, y=None, **params):
        time.sleep(params["seconds"])
        return {{"number": params["number"]}}

    def transform_predict(self):
        return self.model
"""

Figures = Callable[[str, object], None]

KILLED = 0.3
"""The share of the processes of jobs that are killed: before or while the model is fitted; or the
process that fits is.
"""

EACH = {"worker": 3, "trainer": 12}
"""After how many ended jobs one of these is killed."""


class Killer:
    """Kills processes of a service, in proportion to what it does: a slow machine does less."""

    def __init__(self, service: Service, chance: random.Random) -> None:
        self.killed: Counter[str] = Counter()
        self._service = service
        self._chance = chance
        self._seen: set[int] = set()
        self._due: list[tuple[float, str, psutil.Process]] = []

    def turn(self, ended: int) -> None:
        """Look at the processes, kill some now, and choose others for later."""
        now = time.monotonic()
        for one in _family(self._service):
            command = _command(one)
            if " job run " in command and one.pid not in self._seen:
                self._seen.add(one.pid)
                if self._chance.random() < KILLED:
                    kind = self._chance.choice(("early", "job", "fit"))
                    self._due.append((now + self._chance.uniform(0, 1.5), kind, one))
            elif "training.trainer" in command and self._is_due("trainer", ended):
                self._kill("trainer", one)
        if self._is_due("worker", ended) and (workers := self._service.workers()):
            self._kill("worker", self._chance.choice(workers))
        self._due = [one for one in self._due if not self._done(now, *one)]

    def _done(self, now: float, when: float, kind: str, process: psutil.Process) -> bool:
        """Kill one that is due, and whether there is nothing more to do."""
        fitting = _children(process)
        if not process.is_running():
            return True
        if when > now or (kind != "early" and not fitting):
            return False
        self._kill(kind, fitting[0] if kind == "fit" else process)
        return True

    def _is_due(self, kind: str, ended: int) -> bool:
        return ended // EACH[kind] > self.killed[kind]

    def _kill(self, kind: str, process: psutil.Process) -> None:
        with suppress(psutil.Error):
            process.kill()
            self.killed[kind] += 1


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children()
    except psutil.Error:
        return []


def _family(service: Service) -> list[psutil.Process]:
    try:
        return psutil.Process(service.process.pid).children(recursive=True)
    except psutil.Error:
        return []


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@contextmanager
def started(folder: Path, **settings: str) -> Iterator[Service]:
    for number in range(MODELS):
        name = f"Model{number}"
        write_model(folder / "models", name, MODEL.format(name=name))
    env = {
        "MODELSYNC_JOB_CONCURRENCY": "4",
        "MODELSYNC_JOB_NICE": "0",
        "MODELSYNC_DRAIN_TIMEOUT": "1s",
        **settings,
    }
    with serving(folder, folder / "models", env=env) as service:
        yield service
    gone(service.home)


@pytest.mark.jobs
@pytest.mark.timeout(3600)
def test_hundreds_of_jobs_survive_kills(tmp_path: Path, record_property: Figures) -> None:
    """In the embedded database."""
    with started(tmp_path) as service:
        record_property("figures", survive(service, Jobs(service.home), MANY))


@pytest.mark.jobs
@pytest.mark.timeout(3600)
@pytest.mark.skipif(not programs(), reason="PostgreSQL is not installed")
def test_hundreds_of_jobs_survive_kills_in_postgresql(
    tmp_path: Path, record_property: Figures
) -> None:
    """As in a cluster."""
    with PostgresServer() as server:
        url = server.make_database()
        with started(tmp_path, MODELSYNC_DATABASE_URL=url) as service:
            jobs = Jobs(service.home, store=StoreSettings(database_url=Secret(url)))
            record_property("figures", survive(service, jobs, MANY))


def survive(service: Service, jobs: Jobs, count: int) -> str:
    """Ask for jobs, kill until all have ended, and look at what is left; return the figures."""
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    made = [
        jobs.add(
            f"Model{chance.randrange(MODELS)}",
            {"x": [[1], [2]], "y": [1, 2]},
            key=f"job-{number}",
            params={"number": number, "seconds": chance.choice((0, 0, 0.2, 0.5))},
        )
        for number in range(count)
    ]
    began, silence = time.monotonic(), 0.0
    killer = Killer(service, chance)
    while live := jobs.store.catalog.jobs(live=True, limit=count):
        killer.turn(count - len(live))
        silence = max([silence, *(_silent(one) for one in live)])
        assert time.monotonic() - began < patient(120 + 12 * count), (seed, live)
        time.sleep(0.1)
    assert silence < patient(FINAL_WITHIN), seed
    rows = [jobs.row(one) for one in made]
    states = Counter(one.state for one in rows)
    assert set(states) <= {"done", "lost"}, (seed, [one for one in rows if one.state == "failed"])
    assert all(one.error for one in rows if one.state == "lost")
    assert states["done"] > count / 2, (seed, states)
    _whole(jobs, rows)
    until(lambda: not _at_work(service))
    return (
        f"{count} jobs, killed {dict(killer.killed)}: {dict(states)}, the longest silence of one "
        f"was {silence:.1f} s, {time.monotonic() - began:.0f} s in all (seed {seed})"
    )


def _silent(job: Job) -> float:
    """For how many seconds nothing was heard of a job that runs."""
    return (
        time.time() - job.heartbeat.timestamp() if job.heartbeat and job.state == "running" else 0
    )


def _whole(jobs: Jobs, rows: list[Job]) -> None:
    """Each job that is done has its version and its blob; the newest version of each is current,
    in the store and on the disk.
    """
    done: dict[str, set[int]] = {}
    for one in rows:
        if one.state == "done":
            done.setdefault(one.model, set()).add(one.number)
    records = jobs.store.catalog.models()
    assert {name: {one.number for one in found.versions} for name, found in records.items()} == {
        name: done.get(name, set()) for name in records
    }
    for name, found in records.items():
        assert found.current == max(done.get(name, {None}), key=lambda one: one or 0)
        for version in found.versions:
            assert digest(jobs.store.blobs.read(version.made.sha256)) == version.made.sha256
    files = FittedVersions(jobs.home)

    def mirrored() -> bool:
        now = files.read()
        return {name: now[name].current for name in records} == {
            name: found.current for name, found in records.items()
        }

    until(mirrored)
    for served in (one.serving for one in files.read().values()):
        assert served is None or digest(served.file.read_bytes()) == served.sha256


def _at_work(service: Service) -> list[psutil.Process]:
    """The processes of jobs."""
    return [one for one in marked(service.home) if " job run " in _command(one)]
