"""Looks into a pickle without running it: is it a model, or data that was only stored.

It reads the opcodes (https://github.com/python/cpython/blob/main/Lib/pickletools.py) at the
beginning of the file, and which classes they name.
"""

from __future__ import annotations

import bz2
import lzma
import mmap
import pickletools
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

LIMIT = 1 << 16
"""Bytes that are read, and bytes that they are decompressed to."""

MAX_OPCODES = 20_000

DATA = frozenset(
    {
        "__builtin__", "_codecs", "array", "builtins", "collections", "copy_reg", "copyreg",
        "dateutil", "datetime", "decimal", "fractions", "joblib", "numpy", "pandas", "pathlib",
        "polars", "pyarrow", "pytz", "scipy", "uuid", "zoneinfo",
    }
)  # fmt: skip
"""Modules whose objects are data."""

_HELPERS = {"_reconstructor", "_reconstruct", "__newobj__", "_unpickle_block", "encode"}
_STARTS = {"EMPTY_DICT": "dict", "DICT": "dict", "EMPTY_LIST": "list", "LIST": "list"}


@dataclass(frozen=True, slots=True)
class PickleContent:
    """What a file holds: `model`: perhaps a model; `data`: surely none; `none`: it is no pickle.

    `kind`: the class of the outermost object, such as `DataFrame`; empty if that is not known.
    """

    holds: Literal["model", "data", "none"]
    kind: str = ""


def look(path: Path) -> PickleContent:
    """Return what a file holds, as far as its first bytes tell. Raises OSError."""
    with path.open("rb") as file:
        head = file.read(LIMIT)
    content = _decompressed(head)
    if content is None:  # by a library such as lz4
        return PickleContent("model")
    if not content or not _opcodes_of(content[:1]):
        return PickleContent("none")
    return _of_opcodes(content)


_FITTED_WITH = re.compile(rb"_sklearn_version.{1,8}?(\d+(?:\.\d+)+(?:(?:rc|\.dev)\d+)?)", re.DOTALL)
"""The member of an estimator's state that scikit-learn writes into each pickle, and its text."""


def scikit_learn(path: Path) -> str:
    """Return the version of scikit-learn that has written a pickle, also one of joblib; empty if
    the file does not tell. Raises OSError.
    """
    with path.open("rb") as file:
        head = _decompressed(file.read(LIMIT)) or b""
        found = _FITTED_WITH.search(head)
        if found is None and path.stat().st_size > LIMIT:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                found = _FITTED_WITH.search(content)
                return found[1].decode() if found else ""
    return found[1].decode() if found else ""


def _decompressed(head: bytes) -> bytes | None:
    """Return the first bytes of what a file holds; None if it cannot be decompressed here."""
    try:
        if head[:2] in (b"\x1f\x8b", b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"):
            return zlib.decompressobj(wbits=47).decompress(head, LIMIT)
        if head.startswith(b"BZh"):
            return bz2.BZ2Decompressor().decompress(head, LIMIT)
        if head.startswith((b"\xfd7zXZ", b"\x5d\x00\x00")):
            return lzma.LZMADecompressor().decompress(head, LIMIT)
    except (OSError, ValueError, lzma.LZMAError, zlib.error):
        return b""
    return None if head.startswith(b"\x04\x22\x4d\x18") else head


def _opcodes_of(first: bytes) -> bool:
    return first.decode("latin-1") in pickletools.code2op  # type: ignore[attr-defined]


def _of_opcodes(content: bytes) -> PickleContent:
    """Return what a pickle holds by the classes that it names, as far as its bytes are here."""
    kind, whole = "", False
    try:
        for name, module in islice(_named(content), MAX_OPCODES):
            whole = name == "STOP"
            if not module:
                kind = kind or _STARTS.get(name, "")
            elif module.partition(".")[0] not in DATA:
                return PickleContent("model", kind or name)
            elif name not in _HELPERS:
                kind = kind or {"NumpyArrayWrapper": "ndarray"}.get(name, name)
    except ValueError:  # joblib writes the bytes of arrays among the opcodes; or it is no pickle
        if not kind:
            return PickleContent("none")
    except Exception:  # noqa: BLE001 - a file of another kind may look like any opcode
        return PickleContent("none")
    is_data = whole or kind not in ("", "dict", "list")
    return PickleContent("data" if is_data else "model", kind)


def _named(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield each opcode that begins a container or ends the pickle, and, with its module, each
    class or function that is named. Raises ValueError where no opcode follows.
    """
    texts: list[str] = ["", ""]  # the last two that were pushed
    memo: dict[int, str] = {}
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in ("GLOBAL", "INST"):
            module, _, name = str(argument).partition(" ")
            yield name, module
        elif opcode.name == "STACK_GLOBAL":
            yield texts[-1], texts[-2] or "?"
        elif opcode.name in ("MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT"):
            memo[len(memo) if argument is None else int(argument)] = texts[-1]
            continue
        elif opcode.name in ("BINGET", "LONG_BINGET", "GET"):
            texts.append(memo.get(int(argument or 0), ""))
            continue
        elif opcode.name in _STARTS or opcode.name == "STOP":
            yield opcode.name, ""
        if opcode.name not in ("PROTO", "FRAME"):
            texts.append(argument if isinstance(argument, str) else "")
