"""Faults that pass by themselves: no commit and no model is given up for them."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.fixtures.service import Service, answers, serving, write_model
from tests.service.faulty import Client, model
from tests.waiting import patient, setting, until

pytestmark = pytest.mark.long

ADMIN = {"Authorization": "Bearer admin-9"}


UNFIT = """import os, sys, time
if "gunicorn" in sys.modules and not os.path.exists({marker!r}):
    """
"""The start of a model's code that runs in a generation alone, while there is no file `marker`."""


def told(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = service.get("/models/sync", headers=ADMIN).json()
    return found


def needs(marker: Path, error: str) -> str:
    """The code of a model that raises `error` when it loads, while there is no file `marker`."""
    return model(top=f"import pathlib\nif not pathlib.Path({str(marker)!r}).exists():\n    {error}")


def test_a_model_whose_database_was_away_is_tried_again(tmp_path: Path) -> None:
    """Without a new commit and without being asked; until then it says why, and when it is tried
    again. The others serve meanwhile.
    """
    models, marker = tmp_path / "models", tmp_path / "database-is-there"
    write_model(models, "Db", needs(marker, "raise ConnectionRefusedError(111, 'refused')"))
    write_model(models, "Typo", model(top="import nothing_of_that_name"))
    write_model(models, "Good", answers(1))
    with serving(tmp_path, models, MODELSYNC_ADMIN_TOKENS="admin-9") as service:
        client = Client(service)
        assert client.value("Good") == 1
        about = client.about("Db")
        assert about["fault"]["transient"] is True
        assert "refused" in client.problem("Db", 503)["detail"]
        until(lambda: client.about("Db")["next_try"] is not None)
        assert told(service)["next"] is not None
        assert client.about("Typo")["next_try"] is None
        before = {worker.pid for worker in service.workers()}
        until(lambda: len(service.lines(event="sync")) >= 2, 30)  # tried again in vain
        assert {worker.pid for worker in service.workers()} == before
        marker.touch()
        until(lambda: client.post("Db").status_code == 200, 60)
        service.swapped()
        until(lambda: told(service)["next"] is None)
        assert told(service)["broken"].keys() == {"Typo"}
        assert client.leaks() == []


def test_a_rejected_commit_is_tried_again_by_force(tmp_path: Path) -> None:
    """A sync finds it rejected; the admin call with `force` has it checked again at once."""
    models, marker = tmp_path / "models", tmp_path / "licence"
    write_model(models, "Good", answers(1))
    with serving(
        tmp_path,
        models,
        MODELSYNC_ADMIN_TOKENS="admin-9",
        MODELSYNC_ON_BROKEN_MODEL="reject",
    ) as service:
        client = Client(service)
        write_model(models, "Licensed", needs(marker, "raise ValueError('no licence')"))
        service.sync()
        until(lambda: told(service)["reason"] == "rejected")
        marker.touch()
        service.sync()
        until(lambda: "was rejected before" in told(service)["message"])
        assert client.post("Licensed").status_code == 404
        url = f"{service.base}/sync?force=true"
        assert requests.post(url, headers=ADMIN, timeout=patient(30)).status_code == 202
        until(lambda: client.post("Licensed").status_code == 200, 30)
        assert told(service)["in_step"] is True


def test_a_generation_that_is_killed_while_it_boots_is_started_again(tmp_path: Path) -> None:
    """`kill -9`, as the kernel does when memory runs out: the commit is not rejected, the previous
    release serves until the next try.
    """
    models, hurry = tmp_path / "models", tmp_path / "hurry"
    write_model(models, "Good", answers(1))
    with serving(tmp_path, models, MODELSYNC_ADMIN_TOKENS="admin-9") as service:
        [first] = service.masters()
        slow = UNFIT.replace("if", "while").format(marker=str(hurry)) + "time.sleep(0.05)"
        write_model(models, "Slow", model(top=slow))
        write_model(models, "Good", answers(2))
        service.sync()
        [second] = until(lambda: [one for one in service.masters() if one != first], 30)
        second.send_signal(signal.SIGKILL)
        until(lambda: told(service)["reason"] == "not_ready")
        assert "SIGKILL" in told(service)["message"]
        assert service.post("Good").json() == {"value": 1}
        until(lambda: told(service)["next"] is not None)  # after the reason
        hurry.touch()
        until(lambda: service.post("Good").json() == {"value": 2}, 60)
        service.swapped()
        assert service.post("Slow").status_code == 200
        assert service.status()["rejected"] == {}


def test_a_release_is_ready_without_the_models_that_do_not_load_in_it(tmp_path: Path) -> None:
    """They passed the check. One raises, one ends the process, one hangs: each is named, all others
    serve; and they are tried again by themselves.
    """
    models, marker = tmp_path / "models", tmp_path / "fit"
    bad = {
        "Raises": "raise ValueError('not here')",
        "Crashes": "os._exit(11)",
        "Hangs": "time.sleep(3600)",
    }
    write_model(models, "Good", answers(1))
    with serving(
        tmp_path,
        models,
        MODELSYNC_ADMIN_TOKENS="admin-9",
        MODELSYNC_CHECK_TIMEOUT=setting(2),
        MODELSYNC_WORKERS="1",
    ) as service:
        client = Client(service)
        for name, code in bad.items():
            top = UNFIT.format(marker=str(marker)) + code
            write_model(models, name, model(top=top))
        write_model(models, "Good", answers(2))
        service.sync()
        until(lambda: client.value("Good") == 2, 60)
        service.swapped()
        assert told(service)["result"] == "partly"
        broken = told(service)["broken"]
        assert broken.keys() == bad.keys()
        assert "not here" in broken["Raises"]
        assert "ended the process while it was loaded: exit code 11" in broken["Crashes"]
        assert "did not load within" in broken["Hangs"]
        assert {client.about(name)["state"] for name in bad} == {"failed"}
        assert service.get("/readyz").status_code == 200
        write_model(models, "Good", answers(3))  # a push that touches none of them
        marker.touch()
        service.sync()
        until(lambda: client.value("Good") == 3, 60)
        until(lambda: all(client.post(name).status_code == 200 for name in bad), 60)
        assert client.leaks() == []


def test_a_model_that_did_not_load_is_loaded_later(tmp_path: Path) -> None:
    """The sync loop starts the release again; requests are answered all the time."""
    models, marker = tmp_path / "models", tmp_path / "fit"
    top = UNFIT.format(marker=str(marker)) + "raise MemoryError"
    write_model(models, "Large", model(top=top))
    write_model(models, "Good", answers(1))
    with serving(tmp_path, models, MODELSYNC_ADMIN_TOKENS="admin-9") as service:
        client = Client(service)
        [master] = service.masters()
        assert "MemoryError" in client.problem("Large", 503)["detail"]
        until(lambda: client.about("Large")["next_try"] is not None)
        until(lambda: len(service.lines(event="sync")) >= 2, 30)
        assert psutil.pid_exists(master.pid)
        marker.touch()
        until(lambda: client.post("Large").status_code == 200, 60)
        service.swapped()
        assert told(service)["broken"] == {}
