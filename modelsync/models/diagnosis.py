"""Turns an exception of model code into a `Fault`: its place, its message and a hint."""

from __future__ import annotations

import re
import sys
import traceback
from pathlib import Path

from modelsync.models import hints, script_hints
from modelsync.models.isolation.model_package import ROOT
from modelsync.models.search_roots import REPOSITORY, SearchRoots
from modelsync.models.transient_errors import is_transient
from modelsync.models.types import Fault, FaultStage, ModelSpec
from modelsync.observability.redaction import redacted
from modelsync.observability.tracebacks import UNPRINTABLE, message_of

MAX_MESSAGE = 500
"""Characters of a message: some libraries put whole arrays into theirs."""


def from_exception(error: BaseException, spec: ModelSpec, stage: FaultStage) -> Fault:
    """Describe what a model's code raised.

    File and line are those of the innermost frame in the model's own folder or in a shared file.
    """
    roots = SearchRoots.of(spec)
    file, line = _place(error, roots)
    kind = type(error).__name__
    text = _text(error)
    message = plain(text, spec)
    return Fault(
        stage,
        f"{kind}: {message}" if message else kind,
        file,
        line,
        hints.of(error, text[:MAX_MESSAGE], roots),
        transient=is_transient(error),
    )


def plain(message: str, spec: ModelSpec | None = None) -> str:
    """Return a message as one short line without credentials and absolute paths.

    Clients read it as the reason of a 503. Paths within the model's folder become relative to it,
    those of shared files to the top of the repository; others keep the name of the file.
    """
    message = redacted(message)
    message = relative_paths(message, spec) if spec else hide_paths(message)
    message = re.sub(rf"{ROOT}\.(?:\w+\.)?(?:{REPOSITORY}\.)?", "", message)
    message = " ".join(message.split())
    message = message.encode("utf-8", "backslashreplace").decode()  # JSON holds no lone surrogates
    return message if len(message) <= MAX_MESSAGE else f"{message[: MAX_MESSAGE - 1]}…"


def relative_paths(text: str, spec: ModelSpec) -> str:
    """Shorten the paths in a text: to those within the model's folder, or of shared files within
    the repository, or else to the file's name.
    """
    for folder in filter(None, (spec.path, spec.shared)):
        for place in (folder.resolve(), folder.absolute()):
            text = text.replace(f"{place}/", "")
    return hide_paths(text)


def crash_place(trace: str, spec: ModelSpec) -> tuple[str | None, int | None]:
    """Return file and line of the innermost call in a model's code, from faulthandler's traceback
    (most recent call first).
    """
    found = re.findall(r'File "([^"]+)", line (\d+)', trace)
    return _innermost([(name, int(line)) for name, line in found], SearchRoots.of(spec))


def hide_paths(text: str, folder: str = "") -> str:
    """Shorten each absolute path to the file's name, or to the path within `folder`.

    Clients must not learn the layout of this machine's file system.
    """
    if folder:
        text = text.replace(f"{folder.rstrip('/')}/", "")
    return re.sub(r"(?<![\w.:/…<])/(?:[^\s/'\"():,]+/)+", "…/", text)


def _text(error: BaseException) -> str:
    try:
        text = (error.msg or "") if isinstance(error, SyntaxError) else message_of(error)
    except Exception:  # noqa: BLE001 - a class of the model's own
        return UNPRINTABLE
    if isinstance(error, SystemExit) and (said := script_hints.said_by_argparse(error)):
        return f"{text}: {said}"
    if text.startswith("Can't get attribute "):
        # Here `__main__` is a program of modelsync, whose path the message would show.
        text = text.replace(repr(sys.modules["__main__"]), "<module '__main__'>")
    return text


def _place(error: BaseException, roots: SearchRoots) -> tuple[str | None, int | None]:
    places = [
        (frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((error.filename, error.lineno or 0))
    return _innermost(places[::-1], roots)


def _innermost(places: list[tuple[str, int]], roots: SearchRoots) -> tuple[str | None, int | None]:
    for name, line in places:
        if (shown := roots.shown(Path(name))) is not None:
            return shown, line or None
    return None, None
