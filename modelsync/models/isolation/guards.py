"""Guards what all models of a process share: streams, descriptors, the working directory, modules.

They act while a model is called, and cannot be undone. While a model loads, `process_state`
restores everything else.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from types import ModuleType
from typing import Any

from modelsync.models.isolation import process_state

_log = logging.getLogger(__name__)

_reported: set[tuple[str, str]] = set()
_descriptors_are_protected = False
_home: int | None = None  # a descriptor of the working directory, once its changes are recorded
_left = False  # whether a model has left it
_return_to = os.fchdir  # not the one that `track_cwd` puts in its place: it would record our call
_restores: list[Callable[[], bool]] = []
moved = False
"""Whether `restore_cwd` is to be called: a model has changed the working directory, set a timer or
a handler of a signal, or forked this process.
"""


# --- standard streams -----------------------------------------------------------------------------


def buffer_lines() -> None:
    """Have the standard streams write each line at its end."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)


def protect_descriptors() -> None:
    """Have `os.close` and `os.closerange` spare stdin, stdout and stderr."""
    global _descriptors_are_protected
    if not _descriptors_are_protected:
        _descriptors_are_protected = True
        vars(os).update(
            close=_sparing_streams(os.close),
            closerange=_sparing_streams_in_range(os.closerange),
        )


def _sparing_streams(close: Callable[[int], None]) -> Callable[[int], None]:
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


# --- the working directory ------------------------------------------------------------------------


def track_cwd() -> None:
    """Have `os.chdir` and `os.fchdir` record that they were called, for `restore_cwd`."""
    global _home
    if _home is None:
        _home = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        vars(os).update(chdir=_recorded(os.chdir), fchdir=_recorded(os.fchdir))


def restore_cwd() -> None:
    """Return to the working directory of the process, if a model has left it; run what
    `after_calls` has registered.

    This runs after each call of a model, so it does nothing if `moved` is not set.
    """
    global moved, _left
    if moved:
        moved = False
        if _left and _home is not None:
            _left = False
            _return_to(_home)
        pending = [restore() for restore in _restores]
        moved = moved or any(pending)


def after_calls(restore: Callable[[], bool]) -> None:
    """Call `restore` after each call of a model during which `moved` was set.

    It returns whether it has to be called again, after the call of another thread.
    """
    _restores.append(restore)


def _recorded(change: Callable[[Any], None]) -> Callable[[Any], None]:
    @wraps(change)
    def record(path: Any) -> None:
        global moved, _left
        change(path)
        moved = _left = True

    return record


# --- modules --------------------------------------------------------------------------------------


def protect_modules() -> None:
    """Have the shared modules refuse to replace or delete the names that they have."""
    for module in process_state.SHARED_MODULES:
        module.__class__ = _ProtectedModule


class _ProtectedModule(ModuleType):
    """A module that takes new names and keeps those it has: `json.dumps = ...` has no effect."""

    def __setattr__(self, name: str, value: object) -> None:
        if vars(self).get(name, value) is value:
            super().__setattr__(name, value)
        else:
            self._refuse(name)

    def __delattr__(self, name: str) -> None:
        self._refuse(name)

    def __reduce__(self) -> tuple[Callable[[str], ModuleType], tuple[str]]:
        """Pickled by its name, as cloudpickle does for a plain module, but for no class of them: a
        model stores functions of its folder, and those use `os`.
        """
        return import_module, (self.__name__,)

    def _refuse(self, name: str) -> None:
        if (self.__name__, name) not in _reported:
            _reported.add((self.__name__, name))
            message = "%s.%s was not replaced: all models share it"
            _log.warning(message, self.__name__, name, stack_info=True)
