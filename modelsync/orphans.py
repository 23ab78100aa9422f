"""The processes below this one: what a model leaves behind comes to here, and is ended from here.

A process whose parent has ended is adopted by its nearest ancestor that is a subreaper (prctl(2)).
That finds whatever has forked twice or made a session of its own. On other systems than Linux
nothing is adopted and nothing found.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER, PR_GET_CHILD_SUBREAPER = 1, 36, 37  # of prctl(2)

GRACE = 2.0
"""Seconds that an orphan gets to end after SIGTERM: a tracker of shared memory frees it then."""

_POLL = 0.02


def end_with_parent(number: signal.Signals, parent: int) -> None:
    """Have Linux send this process a signal when `parent`, which has started it, dies; end it now
    if that has happened.
    """
    _prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _is_subreaper() -> bool:
    if sys.platform != "linux":
        return False
    found = ctypes.c_int()
    ctypes.CDLL(None).prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(found), 0, 0, 0)
    return bool(found.value)


def children(parent: int) -> list[int]:
    """Return the processes whose parent is `parent`, those that wait to be reaped included."""
    try:
        names = [entry.name for entry in Path("/proc").iterdir()]
    except OSError:
        return []
    return [int(name) for name in names if name.isdecimal() and _parent(name) == parent]


def _parent(pid: str) -> int:
    try:
        stat = Path("/proc", pid, "stat").read_bytes()
    except OSError:  # it has just ended
        return 0
    return int(stat.rpartition(b")")[2].split()[1])


class Children:
    """The children of this process: its own, which are `known`, and strangers, which it has
    adopted.

    Making it makes this process a subreaper. Whoever starts a child adds it, within `starting` if
    another thread or task may call `end_strangers` meanwhile.
    """

    def __init__(self) -> None:
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.known: set[int] = set()
        self._starting = 0
        self._counting = threading.Lock()
        self._bereaved = False
        self._told: dict[int, float] = {}  # strangers that have got SIGTERM, and when

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Start a child in the body; meanwhile no child counts as a stranger."""
        with self._counting:
            self._starting += 1
        try:
            yield
        finally:
            with self._counting:
                self._starting -= 1

    def add(self, pid: int) -> None:
        """A child of our own has started."""
        self.known.add(pid)

    def forget(self, pid: int) -> None:
        """A child has ended and was reaped; if it was our own, it may have left strangers."""
        if pid in self.known:
            self.known.discard(pid)
            self._bereaved = True

    def keep_strangers(self) -> None:
        """Let the strangers of this moment live until `end_all`: daemons that a model started."""
        if not self._starting and not self._told:
            self.known.update(children(os.getpid()))

    def end_strangers(self) -> bool:
        """End all strangers, if a child of our own has ended; true if some are left.

        They get SIGTERM, and `GRACE` seconds later SIGKILL. This does not wait: call it again.
        """
        if self._starting or not (self._bereaved or self._told):
            return False
        self._bereaved = False
        now = monotonic()
        strangers = [pid for pid in children(os.getpid()) if pid not in self.known]
        told, self._told = self._told, {}
        for pid in strangers:
            if _reaped(pid):
                self._bereaved = True  # its own children are here now
                continue
            since = self._told[pid] = told.get(pid, now)
            if pid not in told:
                _send(pid, signal.SIGTERM)
                _send(pid, signal.SIGCONT)  # it may be stopped
            elif now > since + GRACE:
                _send(pid, signal.SIGKILL)
        return bool(strangers)

    def end_all(self, timeout: float = GRACE + 3) -> None:
        """End every process below this one, known or not, within `timeout` seconds.

        As each ends, its own children are adopted, so none is left in the end.
        """
        self.end_all_but((), timeout)

    def end_all_but(self, known: Iterable[int], timeout: float = GRACE + 3) -> None:
        """As `end_all`, but for the children `known`."""
        end = monotonic() + timeout
        self.known, self._bereaved = set(known), True
        while self.end_strangers() and monotonic() < end:
            sleep(_POLL)


@contextmanager
def none_left() -> Iterator[None]:
    """End all processes that the body has left below this one.

    Afterwards this process adopts others only if it did before: it may never reap them.
    """
    adopted = _is_subreaper()
    household, before = Children(), children(os.getpid())
    try:
        yield
    finally:
        household.end_all_but(before)
        _prctl(PR_SET_CHILD_SUBREAPER, adopted)


def _reaped(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return True


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)
