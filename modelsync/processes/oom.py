"""Kills by the kernel for want of memory: a worker that dies of one dies of a model, other SIGKILLs
are nobody's fault.

The kernel counts them for each cgroup: in `memory.events` (cgroup v2), in `memory.oom_control`
(v1).
"""

from __future__ import annotations

import contextlib
from pathlib import Path, PurePosixPath

PROC = Path("/proc/self")

KEPT = 10.0
"""Seconds for which a kill is waiting for its victim: a process with much memory takes a while to
end.
"""

WORKERS_FIRST = 100
"""What a worker adds to its `oom_score_adj`, in thousandths of the memory there is."""


class OomKills:
    """The kills in the cgroup that `counter` is of; without a counter there are none. `now` in
    monotonic seconds.

    Other processes are killed as well: what a model has started, the check, another generation's
    workers. Their kills are claimed by nobody here, and forgotten after `KEPT` seconds; within
    these a `kill -9` by hand is taken for one.
    """

    def __init__(self, counter: Path | None) -> None:
        self._counter = counter
        self._count = self._read(0)
        self._unclaimed: list[float] = []

    def look(self, now: float) -> None:
        """Note what is new. To be called regularly, so that what is old is known to be."""
        before, self._count = self._count, self._read(self._count)
        recent = [seen for seen in self._unclaimed if seen > now - KEPT]
        self._unclaimed = recent + [now] * (self._count - before)

    def claim(self, now: float) -> bool:
        """Whether a process that was just reaped with SIGKILL died of one; each kill has one
        victim.
        """
        self.look(now)  # the kernel counts before it sends the signal
        if self._unclaimed:
            self._unclaimed.pop(0)
            return True
        return False

    def _read(self, unknown: int) -> int:
        found = kills(self._counter) if self._counter else None
        return unknown if found is None else found


def kills(counter: Path) -> int | None:
    """The number in a file of the kernel's; None where there is none."""
    try:
        lines = [line.partition(" ") for line in counter.read_text().splitlines()]
        return next((int(value) for key, _, value in lines if key == "oom_kill"), None)
    except (OSError, ValueError):
        return None


def counter(proc: Path = PROC) -> Path | None:
    """The file that counts the kills in this process's cgroup; None where none can be read."""
    try:
        cgroups = (proc / "cgroup").read_text().splitlines()
        mounts = (proc / "mountinfo").read_text().splitlines()
        files = [file for cgroup in cgroups for mount in mounts if (file := _file(cgroup, mount))]
    except (OSError, ValueError):  # not Linux, or a kernel that writes them in another way
        return None
    return next((file for file in files if kills(file) is not None), None)


def _file(cgroup: str, mount: str) -> Path | None:
    """Where the counter would lie, if `mount` shows the hierarchy of `cgroup`, and that cgroup in
    it.
    """
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


def workers_first(proc: Path = PROC) -> None:
    """Have the kernel end this worker rather than its master or the supervisor, which would start
    it again.
    """
    file = proc / "oom_score_adj"
    with contextlib.suppress(
        OSError, ValueError
    ):  # not Linux, or not allowed: then it is as likely as they
        file.write_text(str(min(1000, int(file.read_text()) + WORKERS_FIRST)))
