"""`modelsync job`: jobs are run, listed, shown and cancelled by hand, in the default state
directory.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from modelsync.store.records import Job
from tests.command import modelsync
from tests.fixtures.service import write_model
from tests.training.jobs import Jobs
from tests.training.models import write_models
from tests.training.storing import unpickled

pytestmark = pytest.mark.long

DATA = {"x": {"a": [1, 2, 3]}, "y": [2, 4, 6]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a release in `.modelsync`."""
    folder = tmp_path_factory.mktemp("job")
    write_models(folder / "models_serve", "Mean", "Raises")
    assert modelsync("sync", cwd=folder).returncode == 0
    return folder


@pytest.fixture(scope="module")
def jobs(folder: Path) -> Jobs:
    return Jobs(folder / ".modelsync")


def run(folder: Path, job: Job, **environ: str) -> subprocess.CompletedProcess[str]:
    return modelsync("job", "run", job.id, cwd=folder, **environ)


def test_a_job_is_run_and_shown(folder: Path, jobs: Jobs) -> None:
    """Its exit code says how it ended; a second run has nothing to do."""
    good, bad = jobs.add("Mean", DATA, params={"scale": 2}), jobs.add("Raises")
    assert run(folder, good).returncode == 0
    assert run(folder, good).returncode == 75
    assert run(folder, bad).returncode == 1
    shown = json.loads(modelsync("job", "show", good.id, cwd=folder).stdout)
    assert shown["done"]
    assert shown["response"]["version"] == good.number
    listed = modelsync("job", "list", cwd=folder).stdout.splitlines()
    assert listed[0].split()[:5] == ["job", "model", "kind", "version", "state"]
    assert listed[1].split()[:5] == [bad.id, "Raises", "train", "1", "failed"]
    assert "no such column: age" in listed[1]
    assert len(modelsync("job", "list", "Mean", cwd=folder).stdout.splitlines()) == 2
    assert "fitting with ['scale']" in modelsync("job", "log", good.id, cwd=folder).stdout
    followed = modelsync("job", "log", "--follow", good.id, cwd=folder)
    assert (followed.returncode, followed.stdout.count("fitting")) == (0, 1)
    assert not list((folder / ".modelsync" / "jobs").iterdir())


def test_a_job_is_cancelled(folder: Path, jobs: Jobs) -> None:
    """One that waits does not run any more."""
    job = jobs.add("Mean", DATA)
    done = modelsync("job", "cancel", job.id, cwd=folder)
    assert (done.returncode, done.stdout) == (0, "cancelled\n")
    assert modelsync("job", "cancel", job.id, cwd=folder).returncode == 1
    assert run(folder, job).returncode == 75


def test_an_unknown_job_is_one_line(folder: Path) -> None:
    """Not a traceback."""
    done = modelsync("job", "show", "nothing", cwd=folder)
    assert done.returncode == 1
    assert done.stderr == "modelsync: there is no job 'nothing'\n"


def test_a_job_runs_where_no_release_is(folder: Path, jobs: Jobs, tmp_path: Path) -> None:
    """On another machine that reaches the store, as in a pod of its own: it fetches the code."""
    job = jobs.add("Mean", DATA)
    database = f"sqlite:///{folder.absolute()}/.modelsync/modelsync.db"
    done = run(
        tmp_path,
        job,
        MODELSYNC_DATABASE_URL=database,
        MODELSYNC_MODELS=str(folder / "models_serve"),
    )
    assert done.returncode == 0, done.stderr
    assert jobs.row(job).state == "done"


def test_code_that_is_gone_fails_its_job(folder: Path, jobs: Jobs) -> None:
    """What was asked for is not what would be fitted now."""
    job = jobs.add("Mean", DATA, code="0" * 40, release="")
    done = run(folder, job)
    assert done.returncode == 1
    error = jobs.row(job).error
    assert error
    assert "has been replaced" in error["message"]


def test_the_code_of_a_job_is_that_of_its_request(folder: Path, jobs: Jobs) -> None:
    """Although another one serves by now."""
    job = jobs.add("Mean", DATA, key="before")
    write_model(
        folder / "models_serve",
        "Mean",
        "class Mean:\n    def fit(self, x, y):\n        return 'another'\n"
        "    def transform_predict(self):\n        return self.model\n",
    )
    assert modelsync("sync", cwd=folder).returncode == 0
    assert run(folder, job).returncode == 0
    version = jobs.store.catalog.version("Mean", "before")
    assert version.code == job.asked.code
    assert unpickled(jobs.store, version) == {"mean": 4.0}


def test_a_store_that_is_away_is_no_failure(folder: Path, jobs: Jobs) -> None:
    """The job waits; whoever has started this tries again."""
    job = jobs.add("Mean", DATA)
    done = run(folder, job, MODELSYNC_DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    assert done.returncode == 75, done.stderr
    assert "store" in done.stderr
    assert jobs.row(job).state == "queued"
    jobs.store.catalog.cancel("Mean", job.id)
