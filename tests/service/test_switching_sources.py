"""A state directory whose service gets another source: what was made from one is not served for the
other.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.git import GitServer
from tests.fixtures.service import Service, answers, serving, write_model
from tests.service.following import answered_by, following, metric, push, sync, told
from tests.waiting import until

pytestmark = pytest.mark.long


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with GitServer(tmp_path / "repository.git") as server:
        push(server, "repository")
        yield server


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    write_model(tmp_path / "examples", "Model", answers("folder"))
    return tmp_path / "examples"


def is_not_ready(service: Service, why: str) -> None:
    """Of no commit, of no model, and with the reason."""
    until(lambda: why in service.get("/readyz").json()["detail"], 40, why)
    assert service.get("/readyz").status_code == 503
    assert service.post("Model").status_code in {404, 503}
    found = told(service)
    assert (found["served"], found["wanted"], found["in_step"], found["result"]) == (
        None,
        None,
        False,
        "failed",
    )
    assert metric(service, "sync_in_step") == 0
    assert "modelsync serves" not in service.log.read_text()


def test_a_folder_is_not_taken_for_the_repository(
    server: GitServer, examples: Path, tmp_path: Path
) -> None:
    """Examples first, then a repository that cannot be reached: not ready, until it can be. And
    back again.
    """
    with serving(tmp_path, examples) as service:
        assert service.post("Model").json() == {"value": "folder"}
    with (
        server.away(),
        following(tmp_path, server, ready=False, MODELSYNC_MODELS=str(examples)) as service,
    ):
        is_not_ready(service, "cannot be reached")
    commit = server.git("rev-parse", "main")
    with following(tmp_path, server) as service:
        answered_by(service, commit, "repository")
        assert (told(service)["in_step"], service.release()["source"]) == (True, "git")
    with serving(tmp_path, tmp_path / "gone", ready=False) as service:
        is_not_ready(service, "there is no folder gone/")
    with serving(tmp_path, examples) as service:
        assert service.post("Model").json() == {"value": "folder"}


def test_a_folder_stands_in_where_that_is_wanted(
    server: GitServer, examples: Path, tmp_path: Path
) -> None:
    """MODELSYNC_GIT_FALLBACK: what the folder gave answers, and the status says so."""
    env = {"MODELSYNC_GIT_FALLBACK": "true", "MODELSYNC_MODELS": str(examples)}
    with serving(tmp_path, examples):
        pass
    with server.away(), following(tmp_path, server, env=env) as service:
        assert service.post("Model").json() == {"value": "folder"}
        until(lambda: told(service)["instead"] == "folder")
        assert not told(service)["in_step"]


def test_another_repository_is_not_taken_for_this_one(server: GitServer, tmp_path: Path) -> None:
    """By its address; who logs in, and how the address is written, do not matter."""
    commit = server.git("rev-parse", "main")
    with following(tmp_path, server):
        pass
    with GitServer(tmp_path / "other.git") as other:
        push(other, "other")
        with other.away(), following(tmp_path, other, ready=False) as service:
            is_not_ready(service, "cannot be reached")
    with (
        server.away(),
        following(
            tmp_path, server, gitPath=f"{server.url}/", usergit="me", gitpassword="x"
        ) as service,
    ):
        answered_by(service, commit, "repository")


def test_a_release_without_a_recorded_source_goes_on(server: GitServer, tmp_path: Path) -> None:
    """An older version wrote it."""
    commit = server.git("rev-parse", "main")
    with following(tmp_path, server) as service:
        found = service.release()
        assert found.pop("origin")
        (service.home / "current" / "release.json").write_text(json.dumps(found))
    with server.away(), following(tmp_path, server) as service:
        answered_by(service, commit, "repository")


def test_a_wrong_ref_is_not_in_step(server: GitServer, tmp_path: Path) -> None:
    """The last commit goes on, and everybody can see that nobody knows which is wanted; a right one
    cures it.
    """
    commit = server.git("rev-parse", "main")
    with following(tmp_path, server):
        pass
    with following(tmp_path, server, MODELSYNC_GIT_REF="nosuch") as service:
        answered_by(service, commit, "repository")
        assert sync(service)["reason"] == "ref"
        found = told(service)
        assert (found["wanted"], found["served"], found["in_step"]) == (None, commit, False)
        assert (found["result"], found["reason"]) == ("failed", "ref")
        assert "nosuch" in found["message"]
        assert metric(service, "sync_in_step") == 0
    with following(tmp_path, server) as service:
        until(lambda: told(service)["in_step"], 20)
        assert metric(service, "sync_in_step") == 1


def test_another_folder_never_serves_the_models_of_the_old_one(tmp_path: Path) -> None:
    """The state directory is that of the folder before: nothing of it answers."""
    for name in ("Old", "New"):
        write_model(tmp_path / name.lower(), name, answers(name, name))
    with serving(tmp_path, tmp_path / "old", MODELSYNC_WORKERS="1") as service:
        assert service.post("Old", {}).json() == {"value": "Old"}
    with serving(tmp_path, tmp_path / "new", ready=False, MODELSYNC_WORKERS="1") as service:
        until(lambda: service.post("New", {}).status_code in {404, 503} or service.ready(), 30)
        assert service.post("Old", {}).status_code in {404, 503}
        until(lambda: service.ready() and service.post("New", {}).status_code == 200, 60)
        assert service.post("Old", {}).status_code == 404
