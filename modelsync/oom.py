"""Detects kills by the kernel's OOM killer, from the counter of the cgroup.

Only a SIGKILL of the OOM killer is blamed on a model; any other comes from outside. The kernel
counts its kills for each cgroup: in `memory.events` (cgroup v2), in `memory.oom_control` (v1).
"""

from __future__ import annotations

import contextlib
from pathlib import Path, PurePosixPath

PROC = Path("/proc/self")

KEPT = 10.0
"""Seconds for which a kill waits for its victim: a process with much memory takes
a while to end.
"""

OOM_SCORE = 100
"""What a worker adds to its `oom_score_adj`, in thousandths of all memory (proc(5))."""

JOB_OOM_SCORE = 600
"""What the process that fits a model adds: a job that dies costs no client an answer."""


class OomKills:
    """The kills that `counter` counts, each claimed by one victim; none without a counter.

    `now` is in monotonic seconds. Other processes are killed as well: children of models, the
    check, workers of another generation. Their kills are never claimed here, so kills are forgotten
    after `KEPT` seconds; within that time a `kill -9` by hand may be mistaken for one.
    """

    def __init__(self, counter: Path | None) -> None:
        self._counter = counter
        self._count = self._total(0)
        self._unclaimed: list[float] = []

    def refresh(self, now: float) -> None:
        """Record new kills. To be called regularly, so that the age of a kill is known."""
        before, self._count = self._count, self._total(self._count)
        recent = [seen for seen in self._unclaimed if seen > now - KEPT]
        self._unclaimed = recent + [now] * (self._count - before)

    def claim(self, now: float) -> bool:
        """Whether a process that was just reaped with SIGKILL was a victim; claims one kill."""
        self.refresh(now)  # the kernel counts before it sends the signal
        if self._unclaimed:
            self._unclaimed.pop(0)
            return True
        return False

    def _total(self, unknown: int) -> int:
        found = read_kills(self._counter) if self._counter else None
        return unknown if found is None else found


def read_kills(counter: Path) -> int | None:
    """The number of kills in a file of the kernel's; None if it holds none."""
    try:
        lines = [line.partition(" ") for line in counter.read_text().splitlines()]
        return next((int(value) for key, _, value in lines if key == "oom_kill"), None)
    except (OSError, ValueError):
        return None


def find_counter(proc: Path = PROC) -> Path | None:
    """The file that counts the kills in this process's cgroup; None if none can be read."""
    try:
        cgroups = (proc / "cgroup").read_text().splitlines()
        mounts = (proc / "mountinfo").read_text().splitlines()
        files = [file for cgroup in cgroups for mount in mounts if (file := _file(cgroup, mount))]
    except (OSError, ValueError):  # not Linux, or a kernel that writes them in another way
        return None
    return next((file for file in files if read_kills(file) is not None), None)


def _file(cgroup: str, mount: str) -> Path | None:
    """The path of the counter, if `mount` shows the hierarchy of `cgroup` and that cgroup in it."""
    _, controllers, path = cgroup.split(":", 2)
    here, _, there = mount.partition(" - ")
    root, point = here.split()[3:5]
    kind, _, options = there.split(" ", 2)
    if not controllers and kind == "cgroup2":
        name = "memory.events"
    elif "memory" in controllers.split(",") and kind == "cgroup" and "memory" in options.split(","):
        name = "memory.oom_control"
    else:
        return None
    # In a container the mount's root is the container's own cgroup, and the path may begin with it.
    with contextlib.suppress(ValueError):  # a cgroup outside of what is mounted
        return Path(point) / PurePosixPath(path).relative_to(root) / name
    return None


def prefer_as_oom_victim(proc: Path = PROC, score: int = OOM_SCORE) -> None:
    """Make the kernel kill this process rather than its master or the supervisor.

    Those can start a new one.
    """
    file = proc / "oom_score_adj"
    # not Linux, or not allowed: then it is as likely a victim as they are
    with contextlib.suppress(OSError, ValueError):
        file.write_text(str(min(1000, int(file.read_text()) + score)))
