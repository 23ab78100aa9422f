"""What most tests that follow a repository begin with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.terminal import TerminalReporter

from tests.fixtures.git import GitServer
from tests.service.following import push


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    """A git server with one commit of one model."""
    with GitServer(tmp_path / "repository.git") as server:
        push(server, 0, {"README.md": "hello"})
        yield server


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Show the figures that tests have recorded: no limit of time is asserted."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    for report in reports:
        for name, value in getattr(report, "user_properties", []):
            if name == "figures":
                terminalreporter.write_line(str(value))
