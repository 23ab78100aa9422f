"""Pointers of Git LFS: the small texts that a commit holds in place of large files.

See https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MARK = b"version https://git-lfs.github.com/spec/"
_OLDER_MARKS = (b"version https://hawser.github.com/spec/", b"version http://git-media.io/v/")

LIMIT = 1024
"""Bytes; a pointer is smaller."""


@dataclass(frozen=True, slots=True, order=True)
class LfsPointer:
    """What a pointer says: the SHA-256 of the file, 64 hex digits, and its size in bytes."""

    size: int
    oid: str

    @classmethod
    def parse(cls, data: bytes) -> LfsPointer:
        """Read a pointer. Raises ValueError if it is malformed, or if an extension has changed the
        file: only who has the program of the extension can undo that.
        """
        lines = data.decode("utf-8", "replace").splitlines()
        values = dict(line.partition(" ")[::2] for line in lines)
        oid = re.fullmatch(r"sha256:([0-9a-f]{64})", values.get("oid", ""))
        size = re.fullmatch(r"[0-9]{1,18}", values.get("size", ""))
        if not oid or not size:
            raise ValueError("it names no SHA-256 or no size")
        if any(key.startswith("ext-") for key in values):
            raise ValueError("it was made with an extension of Git LFS")
        return cls(int(size[0]), oid[1])


def is_pointer(data: bytes) -> bool:
    """Whether a file that begins so is a pointer, well formed or not."""
    return data.startswith((MARK, *_OLDER_MARKS))


def pointers_below(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The pointers below a folder: path relative to it, content; sorted. Follows no link.

    Raises OSError if something cannot be read.
    """
    return _walk(os.fspath(folder), "")


def read_pointer(file: os.DirEntry[str]) -> bytes | None:
    """The content of a file if it is a pointer, else None. Raises OSError."""
    if file.stat(follow_symlinks=False).st_size >= LIMIT:
        return None
    with open(file.path, "rb", buffering=0) as opened:  # noqa: PTH123 - faster, for each small file
        data = opened.read(LIMIT)
    return data if is_pointer(data) else None


def _walk(folder: str, prefix: str) -> Iterator[tuple[str, bytes]]:
    with os.scandir(folder) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(entry.path, f"{prefix}{entry.name}/")
        elif entry.is_file(follow_symlinks=False) and (data := read_pointer(entry)):
            yield prefix + entry.name, data
