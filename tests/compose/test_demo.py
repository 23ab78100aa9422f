"""`make demo-continuous`: two days and a broken file, while a client asks all the time."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import s3_server
from scripts.compose_native.definition import ROOT
from tests.waiting import patient

pytestmark = [pytest.mark.training, pytest.mark.timeout(600)]


@pytest.fixture
def temporary() -> Iterator[Path]:
    """Not below pytest's folder: root's PostgreSQL runs as another user, who cannot enter there."""
    with tempfile.TemporaryDirectory(prefix="modelsync-test-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("servers", ["PostgreSQL and an S3 server", "SQLite and files"])
def test_three_days(temporary: Path, servers: str) -> None:
    """Version 2 is better and takes over without a failed request; the broken file is refused with
    a report, and nothing is left behind.
    """
    environment = {**os.environ, "TMPDIR": str(temporary)}
    if servers.startswith("SQLite"):
        environment["XDG_CACHE_HOME"] = str(temporary)  # where no S3 server has been built
    elif not s3_server.cached().exists():
        pytest.skip("needs an S3 server: make s3-server")
    done = subprocess.run(
        [sys.executable, "-m", "scripts.demo_continuous"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=patient(500),
    )
    told = done.stdout
    assert done.returncode == 0, told + done.stderr
    assert f"modelsync starts with {servers}" in told
    one, two = map(
        float, re.findall(r"version \d by job .* accuracy (0\.\d+)$", told, re.MULTILINE)
    )
    assert one < two > 0.75
    assert "promote: version 2 serves" in told
    assert re.search(r"^  modelsync: Titanic .* breaks schema.yml: survived", told, re.MULTILINE)
    assert "class: type: expected a whole number; came row 10: first" in told
    client = re.search(
        r"0 of (\d+) requests failed; version 1 answered (\d+), version 2 (\d+)", told
    )
    assert client
    all_of_them, by_one, by_two = map(int, client.groups())
    assert all_of_them == by_one + by_two
    assert min(by_one, by_two) > 10
    assert list(temporary.iterdir()) == []
