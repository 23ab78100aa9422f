"""What a model that is called cannot do to a process that serves others too.

For processes that exist to run models (a generation and its workers, the check), from before the
first one is loaded until their end: `install` cannot be undone. While a model loads,
`process_state` takes care of all the rest.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

from modelsync.models.isolation import process_state

log = logging.getLogger(__name__)

_told: set[tuple[str, str]] = set()
_home: int | None = None
_moved = False


def install() -> None:
    """Protect the standard streams, the functions everybody uses and the working directory, from
    now on.
    """
    global _home
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(
                line_buffering=True
            )  # what a model prints is read beside the log, and not hours later
    process_state.protect_streams()
    if _home is not None:
        return
    _home = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    vars(os).update(
        close=_sparing_streams(os.close),
        closerange=_sparing_streams_in_range(os.closerange),
        chdir=_noted(os.chdir),
        fchdir=_noted(os.fchdir),
    )
    for module in process_state.MODULES:
        module.__class__ = _Fenced


def restore_cwd() -> None:
    """Return to the working directory where a model has left it: after each call, so it costs
    nothing else.
    """
    global _moved
    if _moved and _home is not None:
        os.fchdir(_home)
        _moved = False


class _Fenced(ModuleType):
    """A module that takes new names and keeps those that it has: `json.dumps = ...` has no effect."""

    def __setattr__(self, name: str, value: object) -> None:
        if vars(self).get(name, value) is value:
            super().__setattr__(name, value)
        else:
            self._refuse(name)

    def __delattr__(self, name: str) -> None:
        self._refuse(name)

    def _refuse(self, name: str) -> None:
        if (self.__name__, name) not in _told:
            _told.add((self.__name__, name))
            log.warning(
                "%s.%s was not replaced: all models share it", self.__name__, name, stack_info=True
            )


def _sparing_streams(close: Callable[[int], None]) -> Callable[[int], None]:
    """`os.close` for all but stdin, stdout and stderr: their numbers would soon be those of a
    client's connection.
    """

    @wraps(close)
    def spare(fd: int) -> None:
        if fd not in (0, 1, 2):
            close(fd)

    return spare


def _sparing_streams_in_range(closerange: Callable[[int, int], None]) -> Callable[[int, int], None]:
    @wraps(closerange)
    def spare(fd_low: int, fd_high: int, /) -> None:
        closerange(max(fd_low, 3), fd_high)

    return spare


def _noted(change: Callable[[Any], None]) -> Callable[[Any], None]:
    @wraps(change)
    def note(path: Any) -> None:
        global _moved
        change(path)
        _moved = True

    return note
