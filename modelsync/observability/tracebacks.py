"""Tracebacks and messages of exceptions, bounded in time and size whatever the exception holds.

An exception of a model may quote an input of 9 MB, be a group of 100,000 others, have as many
causes, or come through a recursion of a million frames. The parts of each that people read are kept
as `traceback` prints them; what is left out is said.
"""

from __future__ import annotations

import traceback
from collections import deque
from collections.abc import Generator
from itertools import islice
from types import FrameType, TracebackType
from typing import Any

UNPRINTABLE = "(its message cannot be shown)"

MESSAGE = 20_000
"""Characters of a message that are looked at."""

SHOWN = 1000
"""Characters of a message in a traceback."""

FRAMES = 10
"""Frames at either end of a stack that are shown."""

CAUSES = 4
"""Exceptions of a chain that are shown, the last ones."""

MEMBERS = 3
"""Members of a group, and notes of an exception, that are shown."""

_CAUSE = "\nThe above exception was the direct cause of the following exception:\n"
_CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n"


def message_of(error: BaseException, limit: int = MESSAGE) -> str:
    """Return the message of an exception, cut to `limit` characters.

    The exception's `__str__` is called if it has one of its own: that may take long, so not in an
    event loop. Whatever it raises, SystemExit included, is caught.
    """
    try:
        if type(error).__str__ is BaseException.__str__:
            return _arguments(error.args, limit)
        if type(error).__str__ is KeyError.__str__ and len(error.args) == 1:
            return brief(error.args[0], limit)
        return _cut(str(error), limit)
    except BaseException:  # noqa: BLE001  `__str__` is the model's code
        return UNPRINTABLE


def bounded(error: BaseException | None) -> str:
    """Return the traceback of an exception as `traceback` prints it, in bounded time and size."""
    parts: list[str] = []
    for link, one in _chain(error):
        parts += [*_stack(one), *_lines_of(one), link]
    return "\n".join(parts[:-1]).strip("\n")


def brief(value: Any, limit: int) -> str:
    """Return `repr(value)`, cut to `limit` characters; of a container only so much is read."""
    text, more = "", _pieces(value, limit)
    for piece in more:
        text += piece
        if len(text) > limit:
            more.close()
            return f"{text[: limit - 1]}…"
    return text


def _arguments(args: tuple[Any, ...], limit: int) -> str:
    if not args:
        return ""
    if len(args) > 1:
        return brief(args, limit)
    return _cut(args[0], limit) if isinstance(args[0], str) else _plain(args[0], limit)


def _plain(value: Any, limit: int) -> str:
    """Return `str(value)`, which for a container is its `repr`."""
    return brief(value, limit) if type(value) in _BRACKETS else _cut(str(value), limit)


def _cut(text: str, limit: int) -> str:
    # As the slice of `str` itself: a class of the model's own may have another one.
    cut = str.__getitem__(text, slice(limit + 1))
    return cut if len(cut) <= limit else f"{cut[: limit - 1]}…"


_BRACKETS: dict[type, tuple[str, str]] = {
    list: ("[", "]"),
    tuple: ("(", ")"),
    dict: ("{", "}"),
    set: ("{", "}"),
}


def _pieces(value: Any, limit: int) -> Generator[str, None, None]:
    """Yield the parts of `repr(value)`, without reading a large container before it is asked."""
    kind = type(value)
    if kind is str or kind is bytes:
        yield repr(value[:limit])
    elif kind not in _BRACKETS or (kind is set and not value):
        yield _cut(repr(value), limit)
    else:
        opening, closing = _BRACKETS[kind]
        yield opening
        for index, item in enumerate(value):
            yield ", " if index else ""
            yield from _pieces(item, limit)
            if kind is dict:
                yield ": "
                yield from _pieces(value[item], limit)
        yield f",{closing}" if kind is tuple and len(value) == 1 else closing


# --- parts of a traceback -------------------------------------------------------------------------


def _chain(error: BaseException | None) -> list[tuple[str, BaseException]]:
    """Return an exception behind those that led to it, each with the link to the next one."""
    found: list[tuple[str, BaseException]] = []
    seen: set[int] = set()
    link = ""
    while error is not None and id(error) not in seen and len(found) < CAUSES:
        seen.add(id(error))
        found.append((link, error))
        if error.__cause__ is not None:
            error, link = error.__cause__, _CAUSE
        else:
            error, link = None if error.__suppress_context__ else error.__context__, _CONTEXT
    return found[::-1]


def _stack(error: BaseException) -> list[str]:
    """Return the lines of a stack; of a long one those at both ends."""
    if error.__traceback__ is None:
        return []
    frames, left_out = _ends(error.__traceback__)
    lines = [
        _cut(line.rstrip("\n"), SHOWN) for line in traceback.StackSummary.extract(frames).format()
    ]
    if left_out:
        lines.insert(FRAMES, f"  ... {left_out} frames are left out ...")
    return ["Traceback (most recent call last):", *lines]


def _ends(trace: TracebackType) -> tuple[list[tuple[FrameType, int]], int]:
    """Return the first and the last frames of a traceback, and how many are between them."""
    frames = traceback.walk_tb(trace)
    first = list(islice(frames, FRAMES))
    count, last = 0, deque[tuple[FrameType, int]](maxlen=FRAMES)
    for count, frame in enumerate(frames, 1):  # noqa: B007  the number of frames is needed
        last.append(frame)
    return [*first, *last], count - len(last)


def _lines_of(error: BaseException) -> list[str]:
    """Return the line with an exception's type and message, its notes, and members of a group."""
    lines = [_line(error)]
    notes = getattr(error, "__notes__", None)
    if type(notes) is list:
        lines += [_cut(note, SHOWN) for note in notes[:MEMBERS] if isinstance(note, str)]
    if isinstance(error, BaseExceptionGroup):
        members = error.exceptions
        for member in members[:MEMBERS]:
            lines += [f"  | {line}" for line in (*_stack(member), _line(member))]
        if len(members) > MEMBERS:
            lines.append(f"  | and {len(members) - MEMBERS} more exceptions")
    return lines


def _line(error: BaseException) -> str:
    kind = type(error)
    module = kind.__module__ if kind.__module__ not in ("builtins", "__main__") else ""
    name = f"{module}.{kind.__qualname__}" if module else kind.__qualname__
    message = message_of(error, SHOWN)
    return f"{name}: {message}" if message else name
