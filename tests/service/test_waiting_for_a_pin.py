"""A pod that may serve a pinned commit only, and has none, or one that nobody can read."""

from __future__ import annotations

from pathlib import Path

import pytest
import requests

from tests.fixtures.git import GitServer
from tests.fixtures.service import answers
from tests.service.following import ADMIN, answered_by, following, push, told, webhook
from tests.service.test_pinned import unready
from tests.waiting import patient, until

PINNED = {"MODELSYNC_GIT_PINNED": "true"}


def test_a_pod_without_a_pin_waits(server: GitServer, tmp_path: Path) -> None:
    """It lives, is unready, says what it waits for, and serves no commit; neither a sync nor a
    webhook changes that.
    """
    with following(tmp_path, server, ready=False, env=PINNED) as service:
        unready(service, "waiting for `modelsync rollout`")
        assert service.get("/readyz").json()["reason"] == "not_pinned"
        assert service.get("/livez").status_code == 200
        push(server, 1)
        asked = requests.post(f"{service.base}/sync", headers=ADMIN, timeout=patient(30))
        for answer in (asked, webhook(service)):
            assert answer.status_code == 409
            assert "is not pinned" in answer.json()["detail"]
        assert service.post("Model").status_code == 503
        assert (told(service)["pinned"], told(service)["served"]) == (None, None)


@pytest.mark.long
def test_the_cache_is_no_pin(server: GitServer, tmp_path: Path) -> None:
    """What the ref was last is not what the other pods serve; the images's models are, where that
    is allowed and the repository is away.
    """
    cache = {"MODELSYNC_GIT_CACHE": str(tmp_path / "cache")}
    with following(tmp_path, server, home=tmp_path / "filling", env=cache) as service:
        assert service.ready()
    image = tmp_path / "image"
    (image / "Model").mkdir(parents=True)
    (image / "Model" / "etls.py").write_text(answers("image"))
    with server.away():
        with following(
            tmp_path, server, ready=False, home=tmp_path / "new", env={**cache, **PINNED}
        ) as service:
            unready(service, "cannot be reached")
        fallback = {"MODELSYNC_GIT_FALLBACK": "true", "MODELSYNC_MODELS": str(image)}
        with following(
            tmp_path, server, home=tmp_path / "other", env={**cache, **PINNED, **fallback}
        ) as service:
            assert service.post("Model").json() == {"value": "image"}


@pytest.mark.parametrize("pin", ["a1b2c3d", "main"])
def test_a_pin_that_nobody_can_read_keeps_the_pod_unready(
    server: GitServer, tmp_path: Path, pin: str
) -> None:
    """The pod does not end over it, and says what is wrong; what is good is of no concern to it."""
    env = {**PINNED, "MODELSYNC_GIT_REVISION": pin, "MODELSYNC_GIT_PROVEN": pin}
    with following(tmp_path, server, ready=False, env=env) as service:
        assert "not the full hash of a commit" in unready(service, pin)
        assert service.get("/livez").status_code == 200
        assert service.process.poll() is None


def test_a_good_commit_that_nobody_can_read_is_ignored(server: GitServer, tmp_path: Path) -> None:
    """With a warning: the pod serves what it is pinned to."""
    pinned = server.git("rev-parse", "main")
    env = {**PINNED, "MODELSYNC_GIT_REVISION": pinned, "MODELSYNC_GIT_PROVEN": pinned[:7]}
    with following(tmp_path, server, env=env) as service:
        answered_by(service, pinned, 0)
        until(lambda: "MODELSYNC_GIT_PROVEN" in service.log.read_text(), 10)
