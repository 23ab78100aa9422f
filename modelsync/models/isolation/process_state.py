"""Saves and restores the state that all models of a process share, while one of them loads."""

from __future__ import annotations

import builtins
import faulthandler
import json
import logging
import os
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import TextIOWrapper
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, TextIO

from modelsync import json_text
from modelsync.models.convention import FILE
from modelsync.models.isolation import plain_names, shared_settings
from modelsync.models.isolation.process_settings import LIMITS, SIGNALS
from modelsync.models.isolation.setting import SharedSetting

SHARED_MODULES: tuple[ModuleType, ...] = (
    builtins,
    json,
    json.decoder,
    json.encoder,
    json_text.MODULE,
    os,
    socket,
    time,
)
"""Modules that the service and all models use, and that a model may patch (`json.dumps = ...`)."""

OUR_LOGGERS = {"modelsync", "gunicorn", "py"}
"""The service's loggers, by the first part of their names; `py` is that of warnings."""


@contextmanager
def preserved(folder: Path, *, alone: bool = False) -> Iterator[None]:
    """Run the body with `folder` as the working directory, then restore the state of the process.

    That is: the working directory, `sys.path`, `sys.argv`, the standard streams and the root
    logger; unless the model is `alone` in its process also warning filters and all of
    `shared_settings`. New environment variables stay as the model set them, because libraries read
    them later.
    """
    with ExitStack() as after:
        for save in (_interpreter, _streams, _logging, _directory):
            after.callback(save())
        if not alone:
            after.enter_context(shared_settings.preserved())
            after.enter_context(warnings.catch_warnings())
            after.callback(faulthandler.cancel_dump_traceback_later)  # perhaps with `exit`
        os.chdir(folder)
        # '' is the working directory: there it would offer the model's helpers to every library.
        sys.path[:] = [place for place in sys.path if place not in {"", "."}]
        # As of a script without arguments, which a model may parse while it is imported.
        sys.argv = [str(folder / FILE)]
        yield


@contextmanager
def restored_modules() -> Iterator[None]:
    """Run model code, then restore what it replaced in `SHARED_MODULES`.

    This happens right after the model's code, because the next line of ours may use such a module.
    """
    before = [(module, dict(vars(module))) for module in SHARED_MODULES]
    try:
        yield
    finally:
        for module, names in before:
            now = vars(module)
            for name, value in names.items():
                if name not in now or now[name] is not value:
                    now[name] = value


def snapshot() -> Callable[[], None]:
    """Save limits, import paths, handlers of signals and logging; the returned function restores
    them, any number of times.

    For changes that models make when they are called: too rare to look for after each call.
    """
    restores = _interpreter(), _logging(), _values((*LIMITS, *SIGNALS)), plain_names.forget

    def restore() -> None:
        for one in restores:
            one()

    return restore


def _directory() -> Callable[[], None]:
    try:
        before = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
    except OSError:  # the directory has been deleted
        return lambda: os.chdir("/")

    def restore() -> None:
        os.fchdir(before)
        os.close(before)

    return restore


def _interpreter() -> Callable[[], None]:
    """Remember hooks, tracing and import paths; return what restores them."""
    path, finders, arguments = list(sys.path), list(sys.meta_path), sys.argv
    trace, hooks = sys.gettrace(), (sys.excepthook, threading.excepthook)

    def restore() -> None:
        sys.path[:], sys.argv = path, arguments
        # Those that libraries have added stay: six and others import their own parts through them.
        if lost := [finder for finder in finders if finder not in sys.meta_path]:
            sys.meta_path.extend(lost)
        sys.excepthook, threading.excepthook = hooks
        sys.settrace(trace)

    return restore


def _values(settings: Sequence[SharedSetting]) -> Callable[[], None]:
    """Remember settings; return what restores them."""
    before = [(one, one.read()) for one in settings]

    def restore() -> None:
        for one, value in before:
            one.write(value)

    return restore


def _logging() -> Callable[[], None]:
    """Remember the configuration of logging; return what restores it."""
    root = logging.root
    handlers, disabled = list(root.handlers), root.manager.disable
    for name in OUR_LOGGERS:
        logging.getLogger(name)  # it must exist now: a model that makes it could disable it
    loggers = [
        logger for logger in root.manager.loggerDict.values() if isinstance(logger, logging.Logger)
    ]
    switches = [(logger, logger.disabled) for logger in loggers]
    # The level of a library's logger is a model's to choose, that of ours is not.
    ours = [root, *(logger for logger in loggers if logger.name.partition(".")[0] in OUR_LOGGERS)]
    settings = [(logger, logger.level, logger.propagate, list(logger.filters)) for logger in ours]

    def restore() -> None:
        root.handlers[:] = handlers
        logging.disable(disabled)
        for logger, off in switches:
            logger.disabled = off
        for logger, level, propagate, filters in settings:
            logger.setLevel(level)
            logger.propagate, logger.filters[:] = propagate, filters

    return restore


# --- the standard streams -------------------------------------------------------------------------


class Uncloseable:
    """A stream that a model can use but not close. A log handler that a model makes of it keeps
    working.
    """

    def __init__(self, stream: TextIO | BinaryIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    @property
    def buffer(self) -> Any:
        """The binary stream beneath, uncloseable too: a new wrapper of it closes it when it is
        garbage-collected.
        """
        return (
            Uncloseable(self._stream.buffer)
            if isinstance(self._stream, TextIOWrapper)
            else self.__getattr__("buffer")
        )

    def __iter__(self) -> Iterator[Any]:
        return iter(self._stream)

    def close(self) -> None:
        """Do nothing: the stream belongs to the process."""

    def detach(self) -> Any:
        """Raise OSError: the stream belongs to the process."""
        raise OSError("the stream belongs to the process")

    def __enter__(self) -> Uncloseable:
        return self

    def __exit__(self, *_: object) -> None: ...


def protect_streams() -> None:
    """Replace stdout and stderr with streams that cannot be closed; those already replaced stay."""
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Uncloseable):
            setattr(sys, name, Uncloseable(stream))


def _streams() -> Callable[[], None]:
    """Remember the standard streams and their descriptors; return what restores them."""
    before = {
        name: getattr(sys, name)
        for name in ("stdin", "stdout", "stderr", "__stdout__", "__stderr__")
    }
    numbers = {number: os.dup(number) for number in (0, 1, 2) if _is_open(number)}
    protect_streams()

    def restore() -> None:
        for name, stream in before.items():
            setattr(sys, name, stream)
        for number, copy in numbers.items():
            if not _is_open(number):
                os.dup2(copy, number)
            os.close(copy)

    return restore


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
