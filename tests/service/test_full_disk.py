"""A disk that is full: the last good release goes on, and nothing is left half written."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.git import GitServer
from tests.service.following import (
    LastGood,
    alone,
    answered_by,
    following,
    litter,
    metric,
    push,
    settled,
    sync,
    told,
)
from tests.waiting import until


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True
    ).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(tmp_path: Path, disk: Path) -> None:
    """A release that does not fit, a disk without a byte left: LG, also where a worker is replaced;
    no half release.
    """
    with GitServer(tmp_path / "repository.git") as server:
        push(server, 0)
        with following(tmp_path, server, home=disk / "home") as service:
            good = LastGood.of(service)
            push(server, 1, {"Model/weights.bin": os.urandom(3_000_000)})
            assert sync(service)["reason"] == "storage"
            good.goes_on(service)
            assert told(service)["reason"] == "storage"
            assert metric(service, "sync_failures_total", reason="storage") == 1
            assert litter(service) == []
            push(
                server, 2, {"Model/weights.bin": b"\0" * 3_000_000}
            )  # small as a pack, too large as a file
            assert sync(service)["reason"] == "storage"
            good.goes_on(service)
            alone(service)
            assert litter(service) == []
            push(server, 3, {"Model/weights.bin": None})
            service.sync()
            answered_by(service, server.git("rev-parse", "main"), 3)

            good = LastGood.of(service)
            alone(service)
            commit = push(server, 4)
            with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
                while filler.write(b"x" * 512):
                    pass
            assert sync(service)["reason"] == "storage"
            good.goes_on(service)
            until(lambda: told(service)["reason"] == "storage")
            assert metric(service, "sync_failures_total", reason="storage") == 3
            service.workers()[0].kill()
            until(
                lambda: len(settled(service) - good.pids) == 1,
                message="the killed worker is replaced",
            )
            for _ in range(10):
                assert service.post("Model").json() == {"value": 3}
            (disk / "filler").unlink()
            service.sync()
            answered_by(service, commit, 4)
            settled(service)
            alone(service)
            assert litter(service) == []


def test_counting_on_a_full_disk(disk: Path) -> None:
    """A worker that starts there, or calls a model for the first time, goes on without counting: no
    SIGBUS.
    """
    program = (
        "import sys, pathlib\nfrom modelsync.observability.counters import Counters\n"
        "from modelsync.observability.totals import retire\n"
        "names = [str(n) for n in range(5000)]\ncounters = Counters(pathlib.Path(sys.argv[1]), "
        "names)\n"
        "[counters.rows[name].observe(200, 0.1) for name in names]\n"
        "retire(pathlib.Path(sys.argv[1]), 1)\nprint('counted')"
    )
    (disk / "filler").write_bytes(b"x" * 1_500_000)
    done = subprocess.run(
        [sys.executable, "-c", program, str(disk)],
        cwd=disk,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "counted\n"), done.stderr
