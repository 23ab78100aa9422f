"""What the suites about git share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelsync.backoff import Backoff
from modelsync.git.lfs import fetcher
from tests.fixtures.git import GitServer
from tests.fixtures.lfs_faults import FaultyLfs
from tests.git.exports import DATA, OTHER


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers are on this machine, whatever stands between it and the rest of the world."""
    for name in (
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("GIT_SSL_CAINFO", raising=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    """A git server over HTTP with one commit: the model folders Churn and Iris, and a README."""
    with GitServer(tmp_path / "repository.git") as server:
        server.push(
            {"Churn/etls.py": "churn = 1\n", "Iris/etls.py": "iris = 1\n", "README.md": "hello\n"}
        )
        yield server


@pytest.fixture
def lfs(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyLfs]:
    """A Git LFS server that fails as it is told to; it is asked again at once."""
    monkeypatch.setattr(fetcher, "RETRY", Backoff(first=0.01, most=0.02))
    with FaultyLfs() as server:
        server.add(DATA)
        server.add(OTHER)
        yield server
