"""Runs pytest as on a slow machine with other work: `python -m scripts.slow_machine tests/server`.

Six processes spin beside it, and if this user may make a cgroup, the tests get a third of the
machine's processors. MODELSYNC_TEST_PATIENCE says how many times longer they may wait; unless it is
set it is six.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

BUSY = 6
"""Processes that spin."""

SHARE = 3
"""The tests get one over this of the machine's processors."""

PERIOD = 100_000
"""Microseconds in which a cgroup may use its quota once."""

PATIENCE = "6"
TIMEOUT = "1800"
"""Seconds that one test may take."""

CGROUPS = Path("/sys/fs/cgroup")


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Processes at the same priority that never rest."""
    spin = [sys.executable, "-c", "while True: pass"]
    spinning = [subprocess.Popen(spin) for _ in range(BUSY)]
    try:
        yield
    finally:
        for one in spinning:
            one.kill()
            one.wait()


@contextlib.contextmanager
def quota() -> Iterator[Path | None]:
    """A cgroup (v2 or v1) that gets its share of the processors; None if none can be made."""
    limit = (os.cpu_count() or 1) * PERIOD // SHARE
    v1 = CGROUPS / "cpu"
    settings = (
        {"cpu.cfs_period_us": f"{PERIOD}", "cpu.cfs_quota_us": f"{limit}"}
        if v1.is_dir()
        else {"cpu.max": f"{limit} {PERIOD}"}
    )
    cgroup = (v1 if v1.is_dir() else CGROUPS) / f"modelsync-slow-{uuid.uuid4().hex[:12]}"
    try:
        cgroup.mkdir()
    except OSError:
        yield None
        return
    try:
        for name, value in settings.items():
            (cgroup / name).write_text(value)
        yield cgroup
    except FileNotFoundError:  # the controller is not there
        yield None
    finally:
        with contextlib.suppress(OSError):  # what a test has left there keeps it
            cgroup.rmdir()


def main(arguments: list[str]) -> int:
    """Run pytest with these arguments; its exit code."""
    environ = {"MODELSYNC_TEST_PATIENCE": PATIENCE, **os.environ}
    command = [sys.executable, "-m", "pytest", "--timeout", TIMEOUT, *arguments]
    with busy(), quota() as cgroup:
        if cgroup is None:
            print("no cgroup can be made here: the tests are slowed down by the others alone")
        else:
            enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
            command = ["sh", "-c", enter, str(cgroup), *command]
        return subprocess.run(command, env=environ, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
