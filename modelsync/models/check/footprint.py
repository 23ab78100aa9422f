"""The footprint of a model: what it leaves in its process once it has loaded.

Threads do not survive a fork, and processes that share a socket or the position in a file read each
other's data: the workers are forks of the process that loads a model. On systems without /proc
nothing is found, and the trials in forks are what counts.
"""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

PROC = Path("/proc/self")

HARMLESS_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom",
                    "/dev/tty", "/dev/pts")  # fmt: skip

KINDS = {
    "socket": "a socket (a connection)",
    "pipe": "a pipe",
    "anon_inode": "a descriptor of the kernel (an event loop, for instance)",
}


def threads() -> set[int]:
    """Return the ids of the threads of this process, those of libraries too."""
    with suppress(OSError):
        return {int(path.name) for path in (PROC / "task").iterdir()}
    return {thread.native_id for thread in threading.enumerate() if thread.native_id}


def children() -> set[int]:
    """Return the ids of the child processes."""
    found: set[int] = set()
    for thread in threads():
        with suppress(OSError):
            found |= set(map(int, (PROC / f"task/{thread}/children").read_text().split()))
    return found


def descriptors() -> dict[int, str]:
    """Return what each open descriptor refers to, as /proc names it."""
    found = {}
    with suppress(OSError):
        for path in (PROC / "fd").iterdir():
            with suppress(OSError):
                found[int(path.name)] = str(path.readlink())
    return found


@dataclass(slots=True)
class Footprint:
    """What the process held before a model was loaded."""

    threads: set[int] = field(default_factory=threads)
    descriptors: dict[int, str] = field(default_factory=descriptors)
    children: set[int] = field(default_factory=children)

    @contextmanager
    def forgiven(self) -> Iterator[None]:
        """Do not count what the body leaves: a library does so wherever it is imported."""
        threads_before, descriptors_before = threads(), descriptors()
        try:
            yield
        finally:
            self.threads |= threads() - threads_before
            self.descriptors |= dict(descriptors().items() - descriptors_before.items())

    def new_threads(self) -> tuple[list[str], int]:
        """Return the names of Python's threads that are new, and the number of all others.

        To be called after a fork: OpenBLAS ends its threads before one.
        """
        found = threads() - self.threads
        named = [thread.name for thread in threading.enumerate() if thread.native_id in found]
        return named, len(found) - len(named)

    def new_children(self) -> int:
        """Return the number of child processes that are new and run."""
        return len(children() - self.children)

    def new_descriptors(self) -> list[str]:
        """Return what the new descriptors refer to that a fork must not share, in words."""
        mapped = _mapped()
        found = []
        for number, target in sorted(descriptors().items()):
            if self.descriptors.get(number) != target:
                found += _described(number, target, mapped)
        return found

    def new_ports(self) -> list[int]:
        """Return the ports that the process listens on now, those that the kernel chose excepted:
        on one of these only one process of the service can listen.
        """
        lowest, highest = _ports_of_kernel()
        found = []
        for number, target in sorted(descriptors().items()):
            if self.descriptors.get(number) == target or not target.startswith("socket:"):
                continue
            with suppress(OSError), socket.socket(fileno=os.dup(number)) as one:
                if one.family in (socket.AF_INET, socket.AF_INET6) and one.getsockopt(
                    socket.SOL_SOCKET, socket.SO_ACCEPTCONN
                ):
                    found.append(one.getsockname()[1])
        return [port for port in found if not lowest <= port <= highest]


def _ports_of_kernel() -> tuple[int, int]:
    try:
        text = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text()
    except OSError:
        return 32768, 60999
    lowest, highest = map(int, text.split())
    return lowest, highest


def _mapped() -> set[str]:
    """Return the files that are mapped into memory: such a mapping holds a descriptor."""
    with suppress(OSError):
        lines = (PROC / "maps").read_text("utf-8", "replace").splitlines()
        return {line.split(None, 5)[5] for line in lines if "/" in line}
    return set()


def _described(number: int, target: str, mapped: set[str]) -> list[str]:
    kind = target.partition(":")[0]
    if kind in KINDS:
        return [KINDS[kind]]
    if target.startswith("/dev/") or target in mapped:
        harmless = target.startswith(HARMLESS_DEVICES) or target in mapped
        return [] if harmless else [f"the device {target}"]
    try:
        is_file = stat.S_ISREG(os.fstat(number).st_mode)
        flags = _flags(number)
    except OSError:
        return []
    if not is_file or flags & os.O_APPEND:  # a folder, or a log
        return []
    return [f"the open file {target.removesuffix(' (deleted)').rpartition('/')[2]}"]


def _flags(number: int) -> int:
    for line in (PROC / f"fdinfo/{number}").read_text().splitlines():
        if line.startswith("flags:"):
            return int(line.split()[1], 8)
    return 0
