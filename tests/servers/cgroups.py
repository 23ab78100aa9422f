"""A real cgroup with a limit to its memory, for a process to be started in."""

from __future__ import annotations

import contextlib
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.waiting import until

ROOT = Path("/sys/fs/cgroup")
V1 = (ROOT / "memory", "memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
V2 = (ROOT, "memory.max", "memory.swap.max")


@contextlib.contextmanager
def limited(megabytes: int) -> Iterator[tuple[str, ...]]:
    """The command that starts another one in such a cgroup. Whatever lives there in the end is ended."""
    cgroup, limit, swap = _made()
    try:
        size = megabytes * 2**20
        (cgroup / limit).write_text(f"{size}")
        with contextlib.suppress(OSError):  # a kernel that does not account swap
            (cgroup / swap).write_text("0" if swap == V2[2] else f"{size}")
        yield ("sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(cgroup))
    finally:
        until(lambda: _empty(cgroup))
        until(lambda: cgroup.rmdir() is None)


def _made() -> tuple[Path, str, str]:
    """A cgroup below this process's own, so that what holds for it holds there too; else beside it (v2 wants that)."""
    refused = "there is no memory controller"
    for top, limit, swap in (V1, V2):
        for parent in _parents(top):
            cgroup = parent / f"modelsync-test-{uuid.uuid4().hex[:12]}"
            try:
                cgroup.mkdir()
            except OSError as error:
                refused = str(error)
                continue
            if os.access(cgroup / limit, os.W_OK):
                return cgroup, limit, swap
            cgroup.rmdir()
    pytest.skip(f"cgroups cannot be written here: {refused}")


def _parents(top: Path) -> list[Path]:
    controller = "" if top == ROOT else "memory"
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(",") and (top / "cgroup.procs").exists():
            own = top / path.lstrip("/")
            # In a container the path may be the host's, and the top its own.
            return [one for one in (own, own.parent, top) if one.is_relative_to(top) and one.is_dir()]
    return []


def _empty(cgroup: Path) -> bool:
    pids = [int(pid) for pid in (cgroup / "cgroup.procs").read_text().split()]
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return not pids
