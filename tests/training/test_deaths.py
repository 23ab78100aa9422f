"""kill -9 of each process of a job, and the end of its service: nothing is left behind, no job is
left in the dark, nothing that was fitted is lost.
"""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from modelsync.fitting.messages import RESULT
from modelsync.store.location import database_file
from modelsync.store.records import Job
from modelsync.training.workspace import Workspace
from tests.fixtures.processes import gone, marked
from tests.fixtures.service import Service, serving
from tests.training.jobs import Jobs
from tests.training.models import write_models
from tests.waiting import setting, until

pytestmark = pytest.mark.training


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deaths")
    write_models(folder / "models", "Waits", "Hangs", "Mean")
    return folder


@contextmanager
def started(folder: Path) -> Iterator[Service]:
    env = {
        "TEST_FOLDER": str(folder),
        "MODELSYNC_JOB_CONCURRENCY": "2",
        "MODELSYNC_JOB_NICE": "0",
        "MODELSYNC_DRAIN_TIMEOUT": setting(1),  # jobs get no more time than requests
    }
    with serving(folder, folder / "models", env=env, MODELSYNC_WORKERS="1") as service:
        yield service


@pytest.fixture
def service(folder: Path) -> Iterator[Service]:
    for left in (*folder.glob("began-*"), *folder.glob("go")):
        left.unlink()
    with started(folder) as service:
        yield service
    gone(service.home)


@pytest.fixture
def jobs(service: Service) -> Jobs:
    return Jobs(service.home)


def begun(jobs: Jobs, folder: Path, model: str = "Waits") -> Job:
    """A job whose model is fitting now."""
    job = jobs.add(model)
    until(lambda: list(folder.glob(f"began-{jobs.fitting(job).pid}")))
    return job


def stopped(processes: list[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


VICTIMS: dict[str, Callable[[Jobs, Job], psutil.Process]] = {
    "the process that fits": lambda jobs, job: jobs.fitting(job),
    "the process of the job": lambda jobs, job: jobs.process(job),
}


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_job_that_is_killed_is_lost_at_once(jobs: Jobs, folder: Path, victim: str) -> None:
    """With the signal as the reason; the model's next job runs."""
    job = begun(jobs, folder)
    family = [jobs.process(job), jobs.fitting(job)]
    VICTIMS[victim](jobs, job).kill()
    found = jobs.ended(job)
    assert found.state == "lost", found.error
    assert found.error
    assert found.error["kind"] == "SIGKILL"
    until(lambda: stopped(family))
    assert not Workspace(jobs.home, job.id).path.exists() or victim == "the process of the job"
    (folder / "go").touch()
    assert jobs.ended(jobs.add("Waits")).state == "done"


def test_the_trainer_is_started_again_and_goes_on_with_its_jobs(jobs: Jobs, folder: Path) -> None:
    """The jobs end themselves with it, and are queued again."""
    job = begun(jobs, folder)
    family = [jobs.process(job), jobs.fitting(job)]
    trainer = jobs.trainer()
    trainer.kill()
    until(lambda: stopped([trainer, *family]))
    (folder / "go").touch()
    found = jobs.ended(job)
    assert (found.state, found.attempts) == ("done", 2)


def test_all_at_once_are_killed(jobs: Jobs, folder: Path) -> None:
    """Nobody is left to tell of the job's end; the next trainer does."""
    job = begun(jobs, folder)
    for one in (jobs.trainer(), jobs.process(job), jobs.fitting(job)):
        one.kill()
    assert jobs.ended(job).state == "lost"
    (folder / "go").touch()
    assert jobs.ended(jobs.add("Waits")).state == "done"


def test_the_supervisor_is_killed(jobs: Jobs, folder: Path, service: Service) -> None:
    """All of its processes end with it; the next service goes on with the job."""
    job = begun(jobs, folder)
    service.process.kill()
    service.process.wait()
    gone(service.home)
    assert jobs.row(job).state == "queued"
    (folder / "go").touch()
    with started(folder):
        assert jobs.ended(job).state == "done"


def test_a_restart_loses_no_job(jobs: Jobs, folder: Path, service: Service) -> None:
    """What runs begins again, what waits waits; one that is deaf to signals ends all the same."""
    runs, deaf = begun(jobs, folder), jobs.add("Hangs")
    jobs.fitting(deaf)
    waits = jobs.add("Waits")
    assert service.stop() == 0
    gone(service.home)
    assert [jobs.row(one).state for one in (runs, deaf, waits)] == ["queued"] * 3
    assert "service has ended" in jobs.row(runs).message
    jobs.store.catalog.cancel("Hangs", deaf.id)
    (folder / "go").touch()
    with started(folder):
        assert [jobs.ended(one).state for one in (runs, waits)] == ["done"] * 2


def test_a_signal_to_all_processes_at_once_is_the_end_of_the_service(
    jobs: Jobs, folder: Path, service: Service
) -> None:
    """As systemd ends a service, and Ctrl-C in some shells: no model is to blame."""
    job = begun(jobs, folder)
    for one in (jobs.fitting(job), jobs.process(job), jobs.trainer()):
        os.kill(one.pid, signal.SIGTERM)
    assert service.stop() == 0
    assert jobs.row(job).state == "queued"
    jobs.store.catalog.cancel("Waits", job.id)


def test_what_was_fitted_outlives_its_process(jobs: Jobs, folder: Path) -> None:
    """The store is away when a fit ends, and then the job is killed: it is stored, not fitted
    again.
    """
    job = begun(jobs, folder)
    process = jobs.process(job)
    result = Workspace(jobs.home, job.id).output / RESULT
    database = sqlite3.connect(database_file(jobs.home), isolation_level=None)
    try:
        database.execute("BEGIN IMMEDIATE")  # nobody else can write
        (folder / "go").touch()
        until(result.exists)
        until(lambda: not process.children())
        process.kill()
        process.wait()
    finally:
        database.close()
    found = jobs.ended(job)
    assert (found.state, found.attempts) == ("done", 1)
    assert len(list(folder.glob("began-*"))) == 1


def test_no_zombie_is_left(jobs: Jobs, folder: Path) -> None:
    """Whoever has started a process reaps it, and what that has left."""
    (folder / "go").touch()
    job = begun(jobs, folder)
    assert jobs.ended(job).state == "done"
    jobs.ended(jobs.add("Mean", {"x": [[1]], "y": [1]}))

    def zombies() -> list[psutil.Process]:
        trainer = jobs.trainer()
        family = [trainer, *trainer.children(recursive=True)]
        return [one for one in family if one.status() == psutil.STATUS_ZOMBIE]

    until(lambda: not zombies() and len(jobs.trainer().children()) == 0)
    assert not [one for one in marked(jobs.home) if "job run" in " ".join(one.cmdline())]
