"""Many jobs while somebody kills processes at random: each ends in a known state, each model has
one current version, and no row is without its blob.

`make test-jobs` runs 500; MODELSYNC_TEST_JOBS sets the number.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import psutil
import pytest

from modelsync.releases.fitted import FittedVersions
from modelsync.store.records import Job
from tests.fixtures.processes import gone, marked
from tests.fixtures.service import Service, serving, write_model
from tests.training.jobs import Jobs
from tests.training.storing import digest
from tests.waiting import patient, until

COUNT = int(os.environ.get("MODELSYNC_TEST_JOBS", "40"))
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

VICTIMS = {"worker": 3, "job": 4, "fit": 4, "trainer": 1}
"""Who is killed how often."""


class Killer:
    """Kills a process of a service now and then, until it is stopped."""

    def __init__(self, service: Service, seed: int) -> None:
        self.killed: Counter[str] = Counter()
        self._service = service
        self._random = random.Random(seed)
        self._stopped = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(self._random.uniform(0.1, 1.2)):
            [kind] = self._random.choices([*VICTIMS], [*VICTIMS.values()])
            if found := self._find(kind):
                try:
                    self._random.choice(found).kill()
                    self.killed[kind] += 1
                except psutil.Error:
                    continue

    def _find(self, kind: str) -> list[psutil.Process]:
        if kind == "worker":
            return self._service.workers()
        words = {"job": " job run ", "fit": "modelsync.fitting ", "trainer": "training.trainer"}
        return [one for one in _family(self._service) if words[kind] in _command(one)]


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


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    for number in range(MODELS):
        name = f"Model{number}"
        write_model(tmp_path / "models", name, MODEL.format(name=name))
    settings = {"MODELSYNC_JOB_CONCURRENCY": "4", "MODELSYNC_DRAIN_TIMEOUT": "1s"}
    with serving(tmp_path, tmp_path / "models", env=settings) as service:
        yield service
    gone(service.home)


def test_jobs_survive_kills(service: Service, record_property: pytest.FixtureRequest) -> None:
    """Of workers, of jobs, of the processes that fit, of the trainer: kill -9, at random."""
    jobs, seed = Jobs(service.home), random.randrange(10**6)
    chance = random.Random(seed)
    made = [
        jobs.add(
            f"Model{chance.randrange(MODELS)}",
            {"x": [[1], [2]], "y": [1, 2]},
            key=f"job-{number}",
            params={"number": number, "seconds": chance.choice((0, 0, 0.2, 1))},
        )
        for number in range(COUNT)
    ]
    began, silence, ends = time.monotonic(), 0.0, dict.fromkeys((one.id for one in made), 0.0)
    with Killer(service, seed) as killer:
        while live := jobs.store.catalog.jobs(live=True, limit=COUNT):
            silence = max([silence, *(_silent(one) for one in live)])
            assert time.monotonic() - began < patient(60 + 6 * COUNT), (seed, live)
            time.sleep(0.2)
    assert silence < patient(FINAL_WITHIN), seed
    rows = [jobs.row(one) for one in made]
    states = Counter(one.state for one in rows)
    assert set(states) <= {"done", "lost"}, (seed, [one.error for one in rows])
    assert all(one.error for one in rows if one.state == "lost")
    assert states["done"] > COUNT / 2, (seed, states)
    _whole(jobs, rows)
    until(lambda: not _at_work(service))
    until(lambda: not any((service.home / "jobs").glob("*/lock")))
    record_property(  # type: ignore[operator]
        "figures",
        f"{COUNT} jobs, killed {dict(killer.killed)}: {dict(states)}, the longest silence of one "
        f"was {silence:.1f} s, {time.monotonic() - began:.0f} s in all (seed {seed})",
    )


def _silent(job: Job) -> float:
    """For how many seconds nothing was heard of a job that runs."""
    return time.time() - job.heartbeat.timestamp() if job.heartbeat and job.state == "running" else 0


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
    for one in files.read().values():
        assert one.serving is None or digest(one.serving.file.read_bytes()) == one.serving.sha256


def _at_work(service: Service) -> list[psutil.Process]:
    """The processes of jobs."""
    return [one for one in marked(service.home) if " job run " in _command(one)]
