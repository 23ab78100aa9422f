"""What most tests that follow a repository begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.git import GitServer
from tests.service.following import push


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    """A git server with one commit of one model."""
    with GitServer(tmp_path / "repository.git") as server:
        push(server, 0, {"README.md": "hello"})
        yield server
