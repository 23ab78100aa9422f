"""A real service whose models have their large files in Git LFS, on a real LFS server."""

from __future__ import annotations

import contextlib
import pickle
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sklearn.linear_model import LinearRegression

from modelsync import settings
from modelsync.rollout.verdict import evaluate
from modelsync.settings import Revision
from tests.fixtures.git import GitServer
from tests.fixtures.lfs import USER, LfsServer, missing
from tests.fixtures.service import Service, answers
from tests.service.following import following as follow
from tests.service.following import sync
from tests.waiting import until

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

READS = """
from pathlib import Path

from common import table

class Model:
    def __init__(self):
        self.data = (Path(__file__).parent / "data.bin").read_bytes()

    def transform_predict(self):
        return {"data": len(self.data), "first": self.data[0], "table": table.size()}
"""

TABLE = """
from pathlib import Path

def size():
    return (Path(__file__).parent / "table.bin").stat().st_size
"""


@pytest.fixture(scope="module")
def lfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LfsServer]:
    with LfsServer(tmp_path_factory.mktemp("lfs") / "server") as server:
        yield server


@pytest.fixture
def server(lfs: LfsServer, tmp_path: Path) -> Iterator[GitServer]:
    """A model with a large file and a shared one, one that is an artefact, one without any."""
    bare = pickle.dumps(LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0]))
    with GitServer(tmp_path / "repository.git") as server:
        server.push({"Plain/etls.py": answers("plain")})
        files = {
            "Model/etls.py": READS.encode(),
            "Model/data.bin": b"\1" * 2_000_000,
            "common/table.py": TABLE.encode(),
            "common/table.bin": b"\1" * 10_000,
            "Bare/model.pkl": bare,
        }
        lfs.push(server, files)
        yield server


@contextlib.contextmanager
def following(folder: Path, server: GitServer, lfs: LfsServer, **env: str) -> Iterator[Service]:
    """A service that follows it; git and the LFS server take the same login."""
    token = lfs.token()
    server.user, server.password = USER, token
    login = {"usergit": USER, "gitpassword": token, "MODELSYNC_GIT_LFS_URL": lfs.url}
    with follow(folder, server, env={**login, **env}) as service:
        yield service


def model(service: Service) -> object:
    answer = service.post("Model")
    return answer.json() if answer.status_code == 200 else answer.status_code


def test_models_are_served_with_their_large_files(
    lfs: LfsServer, server: GitServer, tmp_path: Path
) -> None:
    """Folders, shared code, bare artefacts; a missing object breaks its folder only and needs no
    new commit once it is there; an altered one leaves the version before; nothing comes twice.
    """
    first = {"data": 2_000_000, "first": 1, "table": 10_000}
    with following(tmp_path, server, lfs) as service:
        assert model(service) == first
        assert service.post("Bare", {"x": 3.0}).status_code in {200, 422}
        assert service.release()["models"]["Bare"]["state"] == "ready"
        before = len(lfs.requests())
        server.push({"Plain/etls.py": answers("second")})
        sync(service)
        until(lambda: service.post("Plain").json() == {"value": "second"}, 30)
        assert len(lfs.requests()) == before

        changed = b"\2" * 2_000_000
        lfs.push(server, {"Model/data.bin": changed, "Other/etls.py": READS.encode()})
        lfs.push(server, {"Other/data.bin": b"\3" * 5, "Plain/etls.py": answers("third").encode()})
        lfs.object(changed).write_bytes(b"\7" * len(changed))
        lfs.object(b"\3" * 5).unlink()
        sync(service)
        until(lambda: service.post("Plain").json() == {"value": "third"}, 30)
        assert model(service) == first
        found = service.release()["models"]
        assert found["Model"]["state"] == "stale"
        assert "SHA-256" in found["Model"]["fault"]["message"]
        assert not found["Model"]["fault"]["transient"]
        answer = service.post("Other")
        assert answer.status_code == 503
        assert "does not have it" in answer.json()["detail"]

        lfs.object(b"\3" * 5).write_bytes(b"\3" * 5)
        sync(service)  # no new commit
        until(lambda: service.post("Other").status_code == 200, 30)
        assert service.post("Other").json() == {"data": 5, "first": 3, "table": 10_000}
        text = service.log.read_text()
        assert lfs.token()[:40] not in text
        assert "jwt=" not in text


@pytest.mark.long
def test_an_lfs_server_that_is_away(lfs: LfsServer, server: GitServer, tmp_path: Path) -> None:
    """At first boot: the models without large files serve; the others as soon as it answers, by
    themselves.
    """
    lfs.stop()
    try:
        with following(tmp_path, server, lfs) as service:
            assert service.post("Plain").json() == {"value": "plain"}
            assert "cannot be reached" in service.post("Model").json()["detail"]
            lfs.start()
            until(lambda: service.post("Model").status_code == 200, 60)
            assert service.release()["models"]["Bare"]["state"] == "ready"
    finally:
        lfs.stop()
        lfs.start()


@pytest.mark.long
def test_a_pod_starts_from_the_cache_without_either_server(
    lfs: LfsServer, server: GitServer, tmp_path: Path
) -> None:
    """Commit and large files come from the volume that all pods share."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    env = {"MODELSYNC_GIT_CACHE": str(tmp_path / "cache"), "MODELSYNC_SYNC_TIMEOUT": "6s"}
    with following(tmp_path / "a", server, lfs, **env) as service:
        first = model(service)
    lfs.stop()
    try:
        with server.away(), following(tmp_path / "b", server, lfs, **env) as service:
            assert model(service) == first
            assert service.release()["source"] == "cache"
    finally:
        lfs.start()


@pytest.mark.long
def test_a_rollout_waits_for_an_object(lfs: LfsServer, server: GitServer, tmp_path: Path) -> None:
    """A commit whose object is not there yet is neither pinned nor rejected; then it is fine."""
    commit = server.git("rev-parse", "main")
    config = settings.load(
        {
            "gitPath": server.url,
            "usergit": USER,
            "gitpassword": lfs.token(),
            "MODELSYNC_GIT_LFS_URL": lfs.url,
            "MODELSYNC_GIT_PROTOCOLS": "http",
            "MODELSYNC_HOME": str(tmp_path / "home"),
            "MODELSYNC_ON_BROKEN_MODEL": "reject",
        }
    )
    config = replace(config, git=replace(config.git, revision=Revision(commit)))
    stored = lfs.object(b"\1" * 10_000)
    stored.rename(stored.with_name("away"))
    verdict = evaluate(config, commit, Revision())
    assert verdict.passing
    assert re.match(r"Model: common/table.bin: LFS pointer: .* does not have it", verdict.rejected)
    stored.with_name("away").rename(stored)
    assert evaluate(config, commit, Revision()).rejected == ""
