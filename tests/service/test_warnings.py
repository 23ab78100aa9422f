"""What may be wrong is told wherever somebody looks: by the page, GET, the log, answers, `call`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.command import modelsync
from tests.fixtures.service import Service, answers, serving, write_model
from tests.waiting import until

FAILS = "class Fails:\n    def transform_predict(self, a: int):\n        return {'y': a / 0}\n"
BROKEN = "import nowhere_to_be_found\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a model that its check has seen fail, and one whose newest version is broken.

    The exit codes and the output of `modelsync sync` that has brought the latter are kept.
    """
    folder = tmp_path_factory.mktemp("warnings")
    models = folder / "models_serve"
    write_model(models, "Fails", FAILS)
    write_model(models, "Stale", answers(1, "Stale"))
    write_model(models / "team", "Price", answers(1, "Price"))
    with serving(folder, models, MODELSYNC_WORKERS="1") as running:
        write_model(models, "Stale", BROKEN + answers(2, "Stale"))
        until(lambda: sync(running, models, "--wait", "--strict") == 1)
        yield running


def sync(service: Service, models: Path, *options: str) -> int:
    settings = {
        "MODELSYNC_HOME": str(service.home),
        "MODELSYNC_MODELS": str(models),
        "MODELSYNC_PORT": str(service.port),
    }
    done = modelsync("sync", *options, cwd=service.home.parent, **settings)
    assert done.stdout.startswith("partly: "), done
    assert "2 models, 1 broken" in done.stdout
    assert "it serves the release" in done.stdout
    return done.returncode


def last_sync(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = service.get("/models/sync").json()
    return found


def test_a_release_with_a_broken_model_is_served_in_part(service: Service) -> None:
    found = last_sync(service)
    assert found["result"] == "partly"
    assert found["broken"].keys() == {"Stale"}
    assert service.lines(event="sync", result="partly", broken=["Stale"])


def test_answers_of_a_stale_model_say_so(service: Service) -> None:
    """Whatever way an answer takes: with a head that is known, through Flask, and by `call`."""
    for _ in range(4):
        answer = service.post("Stale", {})
        assert (answer.status_code, answer.json()) == (200, {"value": 1})
        assert answer.headers["X-Modelsync-Model-State"] == "stale"
    told = service.get("/models/Stale")
    assert told.headers["X-Modelsync-Model-State"] == "stale"
    assert "X-Modelsync-Model-State" not in service.post("Fails", {"a": 1}).headers
    done = modelsync("call", "Stale", "--url", f"{service.url}/models", cwd=service.home.parent)
    assert (done.returncode, done.stdout) == (0, '{"value":1}\n')
    assert "Stale is stale: its newest version is broken" in done.stderr


def test_a_warning_is_told_by_get_page_and_log(service: Service) -> None:
    [warning] = service.get("/models/Fails").json()["warnings"]
    assert (warning["kind"], warning["file"], warning["line"]) == ("failed-call", "etls.py", 3)
    assert "ZeroDivisionError" in warning["message"]
    page = requests.get(f"{service.url}/models/", headers={"Accept": "text/html"}, timeout=10).text
    assert "Warning: etls.py:3: it fails, called with the made-up variables" in page
    assert service.lines(event="model_warning", model="Fails", kind="failed-call")
    assert "<code>team/Price</code>: " in page
    [line] = service.lines(event="passed_over")
    assert line["path"] == "team/Price"


def test_a_release_without_any_model_that_loads_is_not_ready(tmp_path: Path) -> None:
    """No load balancer sends requests there; people are told why, and a mend is served."""
    models = tmp_path / "models_serve"
    write_model(models, "Only", BROKEN + answers(1, "Only"))
    with serving(tmp_path, models, ready=False, MODELSYNC_WORKERS="1") as running:
        until(lambda: last_sync(running)["result"] == "partly")
        probe = running.get("/readyz")
        assert (probe.status_code, probe.json()["reason"]) == (503, "no_model")
        assert "ModuleNotFoundError" in last_sync(running)["broken"]["Only"]
        assert "ModuleNotFoundError" in running.post("Only", {}).json()["detail"]
        assert "nowhere_to_be_found" not in probe.text
        write_model(models, "Only", answers(1, "Only"))
        running.sync()
        until(running.ready)
        assert running.post("Only", {}).json() == {"value": 1}
