"""A new pod starts while the git server is away: from the cache, from the image's own models, or it
says why not.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.git import GitServer
from tests.fixtures.service import answers, write_model
from tests.service.following import ADMIN, answered_by, metric, push, sync, told
from tests.service.following import following as follow
from tests.waiting import setting, until

pytestmark = pytest.mark.long

following = partial(follow, MODELSYNC_SYNC_TIMEOUT=setting(6))
"""A remote that is away is asked three times, not five."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with GitServer(tmp_path / "repository.git") as server:
        push(server, 0)
        yield server


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The models that come with the image."""
    write_model(tmp_path / "image", "Model", answers("image"))
    return tmp_path / "image"


def fill(cache: Path, server: GitServer, folder: Path, **env: str) -> None:
    """A pod that has started while the git server was there."""
    home = folder / f"filling-{len(list(folder.glob('filling-*')))}"
    with following(folder, server, home=home, MODELSYNC_GIT_CACHE=str(cache), env=env) as service:
        assert service.ready()


def page(service: Any) -> str:
    return str(service.get("/models/", headers={**ADMIN, "Accept": "text/html"}).text)


def test_a_new_pod_starts_from_the_cache(server: GitServer, tmp_path: Path) -> None:
    """The ref as it was seen last; the page, the status and the metrics say so; then it follows
    again.
    """
    cache = tmp_path / "cache"
    fill(cache, server, tmp_path)
    commit = push(server, 1)
    fill(cache, server, tmp_path)
    with contextlib.ExitStack() as stack:
        away = stack.enter_context(contextlib.ExitStack())
        away.enter_context(server.away())
        env = {"MODELSYNC_GIT_CACHE": str(cache)}
        service = stack.enter_context(following(tmp_path, server, home=tmp_path / "new", env=env))
        answered_by(service, commit, 1)
        found = told(service)
        assert (found["instead"], found["result"], found["reason"]) == (
            "cache",
            "failed",
            "unreachable",
        )
        assert "from the cache answers" in page(service)
        assert metric(service, "sync_failures_total", reason="unreachable") >= 1
        [line] = until(lambda: service.lines(event="substitute", source="cache"))
        assert line["served"] == commit
        away.close()
        newer = push(server, 2)
        answered_by(service, newer, 2, 60)  # tried again by itself
        assert told(service)["instead"] is None
        assert next(cache.glob("*/repo.git/refs/kept")).joinpath(newer).is_file()


def test_a_pinned_pod_starts_from_the_cache_without_asking(
    server: GitServer, tmp_path: Path
) -> None:
    """Exactly its commit, also one that the ref has left; the remote is asked nothing, there or
    not.
    """
    cache = tmp_path / "cache"
    pinned = server.git("rev-parse", "main")
    fill(cache, server, tmp_path)
    push(server, 1)
    fill(cache, server, tmp_path)
    asked = len(server.requests)
    env = {"MODELSYNC_GIT_CACHE": str(cache), "MODELSYNC_GIT_REVISION": pinned}
    with following(tmp_path, server, home=tmp_path / "new", env=env) as service:
        answered_by(service, pinned, 0)
        assert told(service)["result"] == "published"
    assert len(server.requests) == asked


@pytest.mark.parametrize("damage", ["garbage", "read-only", "locks", "another kind"])
def test_a_damaged_cache_hinders_nobody(server: GitServer, tmp_path: Path, damage: str) -> None:
    """What is wrong with it is logged and made good where that can be; the pod follows the
    repository.
    """
    cache = tmp_path / "cache"
    fill(cache, server, tmp_path)
    repository = next(cache.glob("*/repo.git"))
    match damage:
        case "garbage":
            for pack in repository.glob("objects/pack/*.pack"):
                pack.chmod(0o644)
                pack.write_bytes(b"garbage")
        case "read-only":
            shutil.rmtree(cache)
            cache.write_text("no folder")
        case "locks":
            (repository / "shallow.lock").touch()
            (repository / "packed-refs.lock").touch()
        case "another kind":
            shutil.rmtree(repository)
            repository.write_text("no repository")
    commit = push(server, 1)
    with following(
        tmp_path, server, home=tmp_path / "new", MODELSYNC_GIT_CACHE=str(cache)
    ) as service:
        answered_by(service, commit, 1)
        newer = push(server, 2)
        assert sync(service)["result"] == "published"
        answered_by(service, newer, 2)
    if damage != "read-only":
        with (
            server.away(),
            following(
                tmp_path, server, home=tmp_path / "last", MODELSYNC_GIT_CACHE=str(cache)
            ) as last,
        ):
            answered_by(last, newer, 2)


def test_the_cache_of_another_repository_is_not_taken(server: GitServer, tmp_path: Path) -> None:
    """Two services may share a volume: where theirs is away, they get nothing of each other."""
    cache = tmp_path / "cache"
    fill(cache, server, tmp_path)
    with GitServer(tmp_path / "other.git") as other:
        push(other, "other")
        with (
            other.away(),
            following(
                tmp_path, other, ready=False, home=tmp_path / "new", MODELSYNC_GIT_CACHE=str(cache)
            ) as service,
        ):
            until(lambda: "cannot be reached" in service.get("/readyz").text, 40)


def test_the_models_of_the_image_are_the_last_resort(
    server: GitServer, image: Path, tmp_path: Path
) -> None:
    """Neither repository nor cache: they answer, under no commit's name, visibly, until the
    repository is back.
    """
    with contextlib.ExitStack() as stack:
        away = stack.enter_context(contextlib.ExitStack())
        away.enter_context(server.away())
        env = {"MODELSYNC_GIT_FALLBACK": "true", "MODELSYNC_MODELS": str(image)}
        service = stack.enter_context(
            following(tmp_path, server, MODELSYNC_GIT_CACHE=str(tmp_path / "cache"), env=env)
        )
        assert service.post("Model").json() == {"value": "image"}
        found = told(service)
        assert (found["instead"], found["result"], found["reason"]) == (
            "folder",
            "failed",
            "unreachable",
        )
        assert "the models that came with the image answer" in page(service)
        away.close()
        answered_by(service, server.git("rev-parse", "main"), 0, 60)
        assert told(service)["instead"] is None


def test_what_serves_goes_on_and_not_the_image(
    server: GitServer, image: Path, tmp_path: Path
) -> None:
    """A pod that has served a commit keeps to it, also after a restart."""
    env = {"MODELSYNC_GIT_FALLBACK": "true", "MODELSYNC_MODELS": str(image)}
    commit = server.git("rev-parse", "main")
    with following(tmp_path, server, env=env) as service:
        answered_by(service, commit, 0)
    with server.away(), following(tmp_path, server, env=env) as service:
        answered_by(service, commit, 0)
        assert sync(service)["reason"] == "unreachable"
        answered_by(service, commit, 0)


def test_a_commit_on_probation_has_no_substitute(
    server: GitServer, image: Path, tmp_path: Path
) -> None:
    """A pod of a rollout that cannot fetch its commit must not look as if that had become ready."""
    commit = server.git("rev-parse", "main")
    env = {
        "MODELSYNC_GIT_FALLBACK": "true",
        "MODELSYNC_MODELS": str(image),
        "MODELSYNC_GIT_REVISION": commit,
    }
    with (
        server.away(),
        following(tmp_path, server, ready=False, home=tmp_path / "trial", env=env) as service,
    ):
        until(lambda: "cannot be reached" in service.get("/readyz").text, 40)
        unready = service.get("/readyz")
        assert (unready.status_code, unready.json()["reason"]) == (503, "unreachable")
        assert service.lines(event="substitute") == []
    with (
        server.away(),
        following(tmp_path, server, MODELSYNC_GIT_PROVEN=commit, env=env) as service,
    ):
        assert service.post("Model").json() == {"value": "image"}


def test_a_bad_commit_is_not_answered_with_the_image(
    server: GitServer, image: Path, tmp_path: Path
) -> None:
    """The repository can be reached and has no model: that is said, and nothing takes its place."""
    server.push({"Model/etls.py": None, "README.md": "empty"})
    env = {"MODELSYNC_GIT_FALLBACK": "true", "MODELSYNC_MODELS": str(image)}
    with following(tmp_path, server, ready=False, env=env) as service:
        until(lambda: "no model folder" in service.get("/readyz").text, 40)
        assert service.post("Model").status_code == 503


def test_many_pods_at_once_share_one_cache(server: GitServer, tmp_path: Path) -> None:
    """They start together on an empty cache: all become ready, and it is whole afterwards."""
    cache = tmp_path / "cache"
    commit = server.git("rev-parse", "main")
    with contextlib.ExitStack() as stack:
        pods = [
            stack.enter_context(
                following(
                    tmp_path, server, ready=False, home=tmp_path / f"pod-{number}",
                    MODELSYNC_GIT_CACHE=str(cache),
                    MODELSYNC_WORKERS="1",
                )
            )
            for number in range(3)
        ]  # fmt: skip
        for pod in pods:
            answered_by(pod, commit, 0, 60)
    assert Path(next(cache.glob("*/seen/HEAD"))).read_text().strip() == commit
    assert [path.name for path in cache.rglob("*.lock")] == []
    with (
        server.away(),
        following(
            tmp_path, server, home=tmp_path / "last", MODELSYNC_GIT_CACHE=str(cache)
        ) as service,
    ):
        answered_by(service, commit, 0)
