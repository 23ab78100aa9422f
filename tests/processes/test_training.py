"""The trainer as the supervisor starts it: where it is needed, from when on, and not before."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil

from tests.fixtures.processes import marked
from tests.fixtures.service import Service, answers, serving, write_model
from tests.training.jobs import Jobs
from tests.training.models import write_models
from tests.waiting import until


def trainers(service: Service) -> int:
    return sum("training.trainer" in command(one) for one in marked(service.home))


def command(process: psutil.Process) -> str:
    """The command line of a process; empty of one that has ended meanwhile."""
    with suppress(psutil.Error):
        return str(process.cmdline())
    return ""


def test_a_trainer_starts_with_the_first_model_that_can_be_trained(tmp_path: Path) -> None:
    """A push that brings one; a service without any has neither a trainer nor a database."""
    models = tmp_path / "models"
    write_model(models, "Plain", answers(1, "Plain"))
    with serving(tmp_path, models, MODELSYNC_WORKERS="1") as service:
        assert service.post("Plain").ok
        assert not trainers(service)
        write_models(models, "Mean")
        service.sync()
        until(lambda: trainers(service) == 1)
        jobs = Jobs(service.home)
        until(lambda: "Mean" in service.release()["models"])
        assert jobs.ended(jobs.add("Mean")).state == "done"
    assert not trainers(service)


def test_where_jobs_are_off_versions_serve_and_none_is_fitted(tmp_path: Path) -> None:
    """The trainer mirrors what others have made, and starts nothing."""
    write_models(tmp_path / "models", "Mean")
    with serving(tmp_path, tmp_path / "models", MODELSYNC_JOBS="off") as service:
        jobs = Jobs(service.home)
        job = jobs.add("Mean")
        assert jobs.store.catalog.claim("elsewhere:1", concurrency=1, id=job.id)
        waits = jobs.add("Mean", key="waits")
        until(lambda: trainers(service) == 1)
        until((service.home / "fitted.json").exists)
        jobs.store.catalog.fail(job.id, "elsewhere:1", {}, "failed")
        assert jobs.row(waits).state == "queued"
