"""The store of Git LFS objects on disk: by SHA-256, as git-lfs lays them out in a repository.

    folder/objects/<aa>/<bb>/<oid>   whole objects; each appears by one rename
    folder/incomplete/<oid>.<size>   the beginning of one, with which a download goes on
    folder/commits/<commit>          the objects that a commit needs, one a line

The store is a cache: what is damaged or missing is fetched again. A release gets copies, because a
model may write into its own folder.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from modelsync.deadline import Deadline
from modelsync.files import remove_tree, write_atomically
from modelsync.models.lfs_pointer import LfsPointer

_CHUNK = 1 << 20


class LfsObjects:
    """The store in `folder`. One process at a time writes into it, but for a store that pods share.

    Its methods raise OSError if the disk fails.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def exists(self) -> bool:
        """Whether there is a store yet."""
        return self._folder.is_dir()

    def path(self, pointer: LfsPointer) -> Path:
        """Where an object is, once it is whole."""
        oid = pointer.oid
        return self._folder / "objects" / oid[:2] / oid[2:4] / oid

    def incomplete(self, pointer: LfsPointer) -> Path:
        """Where an object is until it is whole; its folder exists."""
        folder = self._folder / "incomplete"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{pointer.oid}.{pointer.size}"  # a pointer may name a wrong size

    def has(self, pointer: LfsPointer) -> bool:
        """Whether there is an object of that name and size. `copy` verifies what it holds."""
        with suppress(OSError):
            return self.path(pointer).stat().st_size == pointer.size
        return False

    def copy(self, pointer: LfsPointer, target: Path, deadline: Deadline) -> bool:
        """Write an object into the file `target`; False if it is missing, damaged or unreadable.

        Then `target` may hold a part of it. Raises SyncTimeout at the deadline.
        """
        digest, left = hashlib.sha256(), pointer.size
        try:
            source = self.path(pointer).open("rb")
        except OSError:
            return False
        with source, target.open("wb") as file:
            while left > 0 and (part := _read(source)):
                deadline.check()
                digest.update(part)
                left -= len(part)
                file.write(part)
        return left == 0 and digest.hexdigest() == pointer.oid

    def admit(self, pointer: LfsPointer, file: Path) -> None:
        """Take a file, which has been verified and lies on the same disk, as the object."""
        path = self.path(pointer)
        path.parent.mkdir(parents=True, exist_ok=True)
        file.replace(path)

    def discard(self, pointer: LfsPointer) -> None:
        """Remove an object that is damaged."""
        self.path(pointer).unlink(missing_ok=True)

    def note(self, commit: str, pointers: Iterable[LfsPointer]) -> None:
        """Note that a commit needs these objects, besides those that were noted of it before."""
        file = self._folder / "commits" / commit
        file.parent.mkdir(parents=True, exist_ok=True)
        oids = _oids(file) | {one.oid for one in pointers}
        write_atomically(file, "".join(f"{oid}\n" for oid in sorted(oids)).encode())

    def sweep(self, keep: int) -> None:
        """Remove the objects that none of the `keep` commits noted last needs."""
        notes = sorted(
            (file for file in _entries(self._folder / "commits") if not file.name.startswith(".")),
            key=lambda file: file.stat().st_mtime,
            reverse=True,
        )
        for file in notes[keep:]:
            file.unlink(missing_ok=True)
        needed = {oid for file in notes[:keep] for oid in _oids(file)}
        found = [*self._folder.glob("objects/*/*/*"), *_entries(self._folder / "incomplete")]
        for file in found:
            if file.name.partition(".")[0] not in needed:
                remove_tree(file)


def _read(source: object) -> bytes:
    try:
        data: bytes = source.read(_CHUNK)  # type: ignore[attr-defined]
    except OSError:
        return b""
    return data


def _oids(file: Path) -> set[str]:
    try:
        return set(re.findall(r"^[0-9a-f]{64}$", file.read_text("ascii"), re.MULTILINE))
    except (OSError, UnicodeDecodeError):
        return set()


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []
