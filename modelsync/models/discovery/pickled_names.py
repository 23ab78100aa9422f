"""Reads from a pickle, whatever its suffix, of which modules it has classes and functions.

It is searched as bytes and never unpickled. What `joblib` has compressed is decompressed.
"""

from __future__ import annotations

import bz2
import lzma
import re
import zlib
from collections.abc import Callable, Container, Iterable, Iterator

MOST = 1 << 30
"""Bytes that are decompressed; what would be more is not known."""

LONGEST = 300
"""Bytes of an opcode with the name of a module."""

_STARTS = re.compile(rb"\x80[\x02-\x05]|PK\x03\x04|[(\]}c]")
"""Pickles by their protocol, or the first opcode of the oldest two; archives that hold some (torch,
skops).
"""

_SHORT = re.compile(rb"\x8c([\x01-\xff])([A-Za-z_][\w.]*)")
"""A text of at most 255 bytes (SHORT_BINUNICODE), as stands before STACK_GLOBAL."""

_LINES = (re.compile(rb"c([A-Za-z_][\w.]*)\n[A-Za-z_]"), re.compile(rb'"__module__": "([\w.]+)"'))
"""The opcode GLOBAL; the schema of skops. One by one: an alternation is ten times as slow."""

_DECOMPRESSORS: dict[bytes, Callable[[], object]] = {
    b"\x1f\x8b": lambda: zlib.decompressobj(47),
    b"\x78\x01": zlib.decompressobj,
    b"\x78\x5e": zlib.decompressobj,
    b"\x78\x9c": zlib.decompressobj,
    b"\x78\xda": zlib.decompressobj,
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ": lzma.LZMADecompressor,
    b"\x5d\x00\x00": lzma.LZMADecompressor,
}

_LZ4 = b"\x04\x22\x4d\x18"


def modules_in(chunks: Iterable[bytes], tops: Container[str]) -> set[str] | None:
    """Return the modules that a pickle names, of those whose first part is in `tops`.

    Empty for another file; None if that cannot be known.
    """
    remaining = iter(chunks)
    first = next(remaining, b"")
    if first.startswith(_LZ4):
        return None
    make = next((make for mark, make in _DECOMPRESSORS.items() if first.startswith(mark)), None)
    content = _joined(first, remaining)
    try:
        return _found(_decompressed(content, make()) if make else content, tops)
    except _TooMuch:
        return None
    finally:
        for _ in remaining:  # a reader may want to be read to its end
            pass


class _TooMuch(Exception):
    pass


def _joined(first: bytes, others: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from others


def _decompressed(chunks: Iterator[bytes], decompressor: object) -> Iterator[bytes]:
    """Yield what is compressed; what is damaged, or only looks so, ends."""
    size = 0
    for chunk in chunks:
        try:
            content: bytes = decompressor.decompress(chunk)  # type: ignore[attr-defined]
        except (zlib.error, OSError, EOFError, lzma.LZMAError, ValueError):
            return
        if (size := size + len(content)) > MOST:
            raise _TooMuch
        yield content


def _found(chunks: Iterator[bytes], tops: Container[str]) -> set[str]:
    found: set[str] = set()
    tail = b""
    is_first = True
    for chunk in chunks:
        if is_first and chunk:
            if not _STARTS.match(chunk):
                return found
            is_first = False
        text = tail + chunk
        found.update(name for name in _names(text) if name.partition(".")[0] in tops)
        tail = text[-LONGEST:]
    return found


def _names(text: bytes) -> Iterator[str]:
    for length, name in _SHORT.findall(text):
        if len(name) >= length[0]:
            yield name[: length[0]].decode("ascii", "replace")
    for pattern in _LINES:
        yield from (name.decode("ascii", "replace") for name in pattern.findall(text))
