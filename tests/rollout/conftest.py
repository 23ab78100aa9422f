"""Where the suites about runs play."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.git import GitServer
from tests.fixtures.kubernetes import ApiServer
from tests.rollout.stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with GitServer(tmp_path / "repository.git") as git, ApiServer(tmp_path) as api:
        yield Stage(git, api, tmp_path)
