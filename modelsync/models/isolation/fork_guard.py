"""Keeps a process that a model forks from acting as the service.

Such a process has copies of everything: handlers of signals, the descriptor through which they wake
the event loop, the sockets of clients. With them it would swallow its own SIGTERM, wake its
parent's loop, hold a port and answer clients. So it loses them as it starts, and where the code of
the model returns to ours, it ends.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import stat
import sys
import threading
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn

from modelsync.models.isolation import guards
from modelsync.models.isolation.process_state import Uncloseable

_installed = False
_owner = 0  # the process of the service that this one is, or that has forked this one
_forking: int | None = None  # the thread of the service that forks a process of the service
_descriptors: set[int] = set()
_places: set[int | str] = set()
_masks: dict[int, Iterable[int]] = {}  # of threads that are forking

_HELD = signal.valid_signals() - {
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGFPE,
    signal.SIGILL,
    signal.SIGABRT,
}
"""The signals that wait while a process is forked."""


def install() -> None:
    """Guard all processes that this one forks, except those that it forks within `spared`."""
    global _installed, _owner
    _owner = os.getpid()
    if not _installed:
        _installed = True
        os.register_at_fork(
            before=_hold_signals, after_in_parent=_release_signals, after_in_child=_after_in_child
        )
        guards.after_calls(_ends_here)


def withhold(
    descriptors: Iterable[int] = (), listeners: Iterable[socket.socket | int] = ()
) -> None:
    """Take descriptors from every process that is forked from now on, by their number.

    `listeners` are listening sockets, TCP or Unix: they are taken, and all connections to them,
    those of later clients included.
    """
    _descriptors.update(descriptors)
    for listener in listeners:
        number = listener if isinstance(listener, int) else listener.fileno()
        _places.update(_ends(number, peers=False))


@contextmanager
def spared() -> Iterator[None]:
    """Fork a process of the service in the body: it keeps everything, and is guarded itself."""
    global _forking
    _forking = threading.get_ident()
    try:
        yield
    finally:
        _forking = None


def spares() -> bool:
    """Return whether this thread is forking a process of the service."""
    return _forking == threading.get_ident()


def end_if_forked() -> None:
    """End this process if a model has forked it and its code has returned to ours, as a script
    would end: with the code of SystemExit, or with a traceback and 1.
    """
    if _owner and os.getpid() != _owner:
        _end(sys.exception())


def _ends_here() -> bool:
    end_if_forked()
    return False


def _end(error: BaseException | None) -> NoReturn:
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    elif error is not None:
        code = 1
        with suppress(BaseException):
            traceback.print_exception(error)
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):
            stream.flush()
    os._exit(code & 0xFF)


def _after_in_child() -> None:
    """Make an ordinary process of a fork: its own streams, signals as in a new one, no socket or
    pipe of the service.
    """
    global _owner
    if spares():
        _owner = os.getpid()
    else:
        guards.moved = True  # the next end of a call looks whether this process is a model's
        for step in (_reset_signals, _renew_streams, _take_descriptors):
            with suppress(Exception):  # the model's process runs on with what could be done
                step()
    _release_signals()


def _hold_signals() -> None:
    """Block signals until the new process has handlers of its own: a SIGTERM right after the fork
    would go to the handler of the service, and be lost.
    """
    _masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)


def _release_signals() -> None:
    if (mask := _masks.pop(threading.get_ident(), None)) is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    faulthandler.disable()  # it would write into the crash report of the parent
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        if callable(handler) and handler is not signal.default_int_handler:
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _renew_streams() -> None:
    """Give stdout and stderr new buffers: another thread may have held the locks of the old ones
    when the process was forked.
    """
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if isinstance(stream, Uncloseable) and isinstance(stream._stream, TextIOWrapper):
            old = stream._stream
            stream._stream = open(  # noqa: SIM115  a descriptor, open to the end
                number, "w", buffering=1, encoding=old.encoding, errors=old.errors, closefd=False
            )


def _take_descriptors() -> None:
    """Replace what is the service's by /dev/null.

    The numbers stay taken: an object of the service that is freed in this process closes its
    number, which must not be a file of the model's by then.
    """
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    folder = Path("/proc/self/fd" if sys.platform == "linux" else "/dev/fd")
    for number in [int(entry.name) for entry in folder.iterdir()]:
        if number != null and (number in _descriptors or not _places.isdisjoint(_ends(number))):
            os.dup2(null, number, inheritable=False)


def _ends(number: int, *, peers: bool = True) -> set[int | str]:
    """Return the port of a TCP socket, or the paths at both ends of a Unix socket; empty for what
    is no such socket, and without `peers` only those of this end.
    """
    try:
        if not stat.S_ISSOCK(os.fstat(number).st_mode):
            return set()
        found = socket.socket(fileno=number)
    except OSError:
        return set()
    try:
        if found.family in (socket.AF_INET, socket.AF_INET6):
            return {found.getsockname()[1]}
        if found.family == socket.AF_UNIX:
            paths = {found.getsockname()}
            with suppress(OSError):
                paths |= {found.getpeername()} if peers else set()
            return {path for path in paths if path and isinstance(path, str)}
        return set()
    except OSError:
        return set()
    finally:
        found.detach()
