"""The database goes away while a model is fitted, and comes back: nothing that was fitted is lost,
and what serves goes on.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from modelsync.fitting.messages import RESULT
from modelsync.settings import Secret
from modelsync.settings.training import StoreSettings
from modelsync.training.workspace import Workspace
from tests.fixtures.postgres import PostgresServer, programs
from tests.fixtures.service import Service, serving
from tests.records import Record
from tests.training.jobs import Jobs
from tests.training.models import write_models
from tests.waiting import until

pytestmark = [
    pytest.mark.training,
    pytest.mark.skipif(not programs(), reason="PostgreSQL is not installed"),
]


def told(service: Service) -> list[Record]:
    """What the trainer has said about a store that is away."""
    return service.lines(event="trainer", level="warning", loop="the trainer")


def test_a_fit_that_ends_while_the_database_is_away_is_stored_later(tmp_path: Path) -> None:
    """Its process waits; the trainer says so once; no row, blob or version is missing after."""
    write_models(tmp_path / "models", "Mean", "Waits")
    with PostgresServer() as server:
        url = server.make_database()
        settings = {
            "MODELSYNC_DATABASE_URL": url,
            "MODELSYNC_JOB_NICE": "0",
            "TEST_FOLDER": str(tmp_path),
        }
        with serving(tmp_path, tmp_path / "models", env=settings, MODELSYNC_WORKERS="1") as service:
            jobs = Jobs(service.home, store=StoreSettings(database_url=Secret(url)))
            before = jobs.ended(jobs.add("Mean", {"x": [[1], [3]], "y": [1, 3]}))
            assert before.state == "done", before
            served = jobs.served("Mean")
            job = jobs.add("Waits")
            until(lambda: list(tmp_path.glob(f"began-{jobs.fitting(job).pid}")))
            server.stop()
            (tmp_path / "go").touch()
            until((Workspace(service.home, job.id).output / RESULT).exists)
            until(lambda: service.lines(event="job_waits", job=job.id))
            until(lambda: told(service))  # it looks less often than the job
            assert jobs.served("Mean") == served
            server.start()
            found = jobs.ended(job)
            assert (found.state, found.attempts) == ("done", 1)
            assert jobs.store.catalog.model("Waits").current == found.number
            assert len(list(tmp_path.glob("began-*"))) == 1
            assert len(told(service)) == 1
