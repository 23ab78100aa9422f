"""A service that serves some models of a repository (MODELSYNC_GIT_MODELS), as clients see it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.command import modelsync
from tests.fixtures.git import GitServer
from tests.fixtures.service import Service, answers
from tests.service.following import NO_PROXY, following, told
from tests.waiting import until

FILES = {
    "Churn/etls.py": "from common import word\n\n\n" + answers(1, "Churn"),
    "Price/etls.py": answers(2, "Price"),
    "Fraud/etls.py": "import nowhere\n",
    "common.py": "word = 1\n",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with GitServer(tmp_path_factory.mktemp("git") / "repository.git") as server:
        server.push(FILES)
        yield server


@pytest.fixture(scope="module")
def service(server: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with following(folder, server, MODELSYNC_GIT_MODELS="Churn,Missing") as service:
        yield service


def test_only_named_models_answer(service: Service) -> None:
    """Another model of the repository is unknown: to /all, to the document, and by its own path."""
    assert service.post("Churn").json() == {"value": 1}
    assert service.post("Price").status_code == 404
    assert service.get("/models/Price").status_code == 404
    assert set(service.post("all").json()) == {"Churn", "Missing"}
    paths = service.get("/models/openapi.json").json()["paths"]
    assert "/models/Churn" in paths
    assert not [path for path in paths if "Price" in path or "Fraud" in path]
    written = (service.home / "current" / "serve_models.py").read_text()
    assert "/models/Churn" in written
    assert "/models/Price" not in written


def test_a_named_model_that_is_not_there_is_told(service: Service, tmp_path: Path) -> None:
    """By its own path, by the sync, and by `modelsync status`: with what the repository has."""
    reason = "the model Missing is named in MODELSYNC_GIT_MODELS, and the repository has no folder"
    assert service.get("/readyz").status_code == 200
    assert reason in service.get("/models/Missing").text
    assert service.post("Missing").status_code == 503
    assert "it has Churn, Fraud, Price" in told(service)["broken"]["Missing"]
    done = modelsync("status", "--url", f"{service.base}/", cwd=tmp_path, **NO_PROXY)
    assert done.returncode == 1
    assert "models: 2, 1 with a problem" in done.stdout
    assert f"Missing failed: {reason}" in done.stdout


def test_it_is_served_once_a_push_brings_it(service: Service, server: GitServer) -> None:
    """Without a change of the setting; a push of another model changes nothing."""
    before = service.release()["id"]
    server.push({"Price/etls.py": answers(3, "Price")})
    service.sync()
    until(lambda: service.status()["served_commit"] == server.git("rev-parse", "main"), 60)
    assert service.release()["id"] == before
    server.push({"Missing/etls.py": answers(4, "Missing")})
    service.sync()
    until(lambda: service.post("Missing").json() == {"value": 4}, 60)
