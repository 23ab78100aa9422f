"""Files and folders: git's hash of a folder, atomic writes, copies, removal."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from modelsync.errors import ResourcesExhausted, StorageFailed
from modelsync.resources import EXHAUSTED

TEMPORARY = ".tmp"
"""The end of each temporary name in the state directory, which also starts with a dot.

`Releases.sweep` removes what is named so.
"""


def ignored(name: str) -> bool:
    """Whether a name is not part of a model's content.

    git itself never tracks `.git`. Byte code is written by the import of the model, often into its
    own folder: if it counted, running a model would change its version.
    """
    return name in {".git", "__pycache__"} or name.endswith(".pyc")


# --- git's hash of a folder -----------------------------------------------------------------------


def tree_hash(folder: str | Path, without: Collection[str] = ()) -> str:
    """The SHA-1 that `git write-tree` gives for a folder, 40 hex digits, without `ignored` names,
    and `without` these names directly below it.

    As in git: a file is its bytes and whether its owner may execute it, a link is the text of its
    target, empty folders, sockets and the like do not exist. (A folder with committed byte code has
    another hash in git: for a folder that came from git, git's own hash is the version.)

    Raises OSError if something cannot be read, or is removed meanwhile.
    """
    found = _tree(os.fspath(folder), without)
    return (found or _object(b"tree", b"")).hex()


def _tree(folder: str, without: Collection[str] = ()) -> bytes | None:
    """The binary hash of a folder's tree object; None for an empty folder, which git does not
    store.
    """
    entries: list[tuple[bytes, bytes]] = []  # what git sorts by, the entry
    with os.scandir(folder) as listing:
        for item in listing:
            if ignored(item.name) or item.name in without:
                continue
            name, mode = os.fsencode(item.name), item.stat(follow_symlinks=False).st_mode
            if stat.S_ISDIR(mode):
                if sub := _tree(item.path):
                    entries.append((name + b"/", b"40000 " + name + b"\0" + sub))
            elif stat.S_ISLNK(mode):
                target = os.fsencode(Path(item.path).readlink())
                entries.append((name, b"120000 " + name + b"\0" + _object(b"blob", target)))
            elif stat.S_ISREG(mode):
                kind = b"100755 " if mode & stat.S_IXUSR else b"100644 "
                entries.append((name, kind + name + b"\0" + _blob(item.path)))
    return _object(b"tree", b"".join(entry for _, entry in sorted(entries))) if entries else None


def _object(kind: bytes, content: bytes) -> bytes:
    return hashlib.sha1(b"%s %d\0" % (kind, len(content)) + content, usedforsecurity=False).digest()


def blob_hash(path: str | Path) -> str:
    """The SHA-1 that `git hash-object` gives for a file, 40 hex digits. Raises OSError."""
    return _blob(os.fspath(path)).hex()


def _blob(path: str) -> bytes:
    # Streamed: a pickled model may be larger than what is left of memory.
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - called for each file of 500 folders; Path costs more than this
        digest = hashlib.sha1(b"blob %d\0" % os.fstat(file.fileno()).st_size, usedforsecurity=False)
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.digest()


# --- atomic writes --------------------------------------------------------------------------------


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file's content: a reader sees the old bytes or the new ones, also after a power
    cut.

    The temporary name is unique, so two writers at once cannot mix. Raises OSError; then the old
    content is still there.
    """
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Give a file whose content replaces that of `path` when the block ends without an error.

    Promises and raises what `write_atomically` does.
    """
    number, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=TEMPORARY, dir=path.parent)
    try:
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    fsync_dir(path.parent)


def listed(folder: Path) -> set[str]:
    """The names in a folder, those of folders with a slash at the end; none if it is unreadable."""
    with suppress(OSError), os.scandir(folder) as entries:
        return {f"{entry.name}/" if entry.is_dir() else entry.name for entry in entries}
    return set()


def replace_symlink(link: Path, target: str) -> None:
    """Point `link` at `target` in one step. `target` is relative to the link's folder.

    Raises OSError; then the link is as it was.
    """
    temporary = link.with_name(f".{link.name}.{secrets.token_hex(8)}{TEMPORARY}")
    temporary.symlink_to(target)
    try:
        temporary.replace(link)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    fsync_dir(link.parent)


def fsync_dir(folder: Path) -> None:
    """Make renames and new names in a folder survive a power cut. Raises OSError."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def flush(folder: Path) -> None:
    """Make everything below a folder survive a power cut. Raises OSError.

    One `syncfs(2)` for all, because an `fsync` for each of thousands of files waits for the disk
    thousands of times.
    """
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        libc: Any = ctypes.CDLL(None, use_errno=True)
        if not hasattr(libc, "syncfs"):  # not Linux
            os.sync()
        elif libc.syncfs(number):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
    finally:
        os.close(number)


# --- trees ----------------------------------------------------------------------------------------


def copy_tree(source: Path, target: Path, without: Collection[str] = ()) -> None:
    """Copy a folder to a new name, without `ignored` names, and `without` these names directly
    below it. Raises OSError.

    Real copies, no hard links: a model that writes into its own folder must not write into another
    release. A link that stays within `source` is copied as it is; one that leaves it becomes
    absolute, so that it still points to the same file.
    """
    root = source.resolve()

    def copy(here: Path, there: Path) -> None:
        there.mkdir()
        for item in here.iterdir():
            if ignored(item.name) or (here == root and item.name in without):
                continue
            if item.is_symlink():
                text = item.readlink()
                inside = not text.is_absolute() and item.resolve().is_relative_to(root)
                outside = os.path.abspath(item.parent / text)  # noqa: PTH100  resolve() follows it
                (there / item.name).symlink_to(text if inside else outside)
            elif item.is_dir():
                copy(item, there / item.name)
            elif item.is_file():
                shutil.copy2(item, there / item.name)

    copy(root, target)


def remove_tree(path: Path) -> None:
    """Remove a file, a link or a folder with its content, if it exists. Raises OSError."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return

    def retry(function: Any, name: str, info: Any) -> None:
        if isinstance(info[1], FileNotFoundError):
            return
        # A model may have made its folder read-only or unreadable.
        with suppress(OSError):
            Path(name).parent.chmod(0o700)
        with suppress(OSError):
            if Path(name).is_dir() and not Path(name).is_symlink():
                Path(name).chmod(0o700)
                shutil.rmtree(name)
                return
        if function in {os.unlink, os.rmdir}:
            function(name)
        else:
            raise info[1]

    shutil.rmtree(path, onerror=retry)


@contextmanager
def storage() -> Iterator[None]:
    """Turn an OSError of work in the state directory into StorageFailed, which names no path.

    Raises ResourcesExhausted if the machine lacks something else than room on the disk.
    """
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        if error.errno in EXHAUSTED:
            raise ResourcesExhausted(f"the machine has no more resources: {reason}") from error
        raise StorageFailed(f"the state directory cannot be used: {reason}") from error


def as_json(values: Mapping[str, Any]) -> bytes:
    """An object as indented JSON. A lone surrogate, as in a file name that is not UTF-8, becomes
    `?`.
    """
    return json.dumps(values, indent=1, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
