"""The store of compiled forms on disk: by what was compiled, and with what.

    folder/forms/<key>/compilation.json   what came of it, and the digest of each file of the forms
    folder/forms/<key>/forms/             the files; none if nothing was compiled
    folder/notes/<commit>-<digest>        the keys of a commit's models, one a line; pods of another
                                          kind have other keys for the same commit

It is a cache: what is damaged or missing is compiled again. Each entry appears by one rename. Pods
share a second one, which is read after the own one and written beside it. A release gets copies.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from modelsync import locks
from modelsync.files import TEMPORARY, as_json, remove_tree, write_atomically
from modelsync.models.compilation import Compilation
from modelsync.models.compiled.fingerprint import fingerprint
from modelsync.models.serialization import from_json
from modelsync.models.types import ModelSpec

ABOUT = "compilation.json"

FORMS = "forms"

_DAY = 86400.0

_log = logging.getLogger(__name__)


def key_of(spec: ModelSpec, tolerance: float) -> str:
    """Return the name under which the compiled forms of a version of a model are stored."""
    parts = (spec.version, spec.artefact, spec.environment, repr(tolerance), fingerprint())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class CompiledStore:
    """The store in `folder`, and `shared`, that of all pods. Methods raise OSError.

    `is_own`: only processes of this machine write into it.
    """

    def __init__(self, folder: Path, shared: Path | None = None, *, is_own: bool = True) -> None:
        self._folder = folder
        self._is_own = is_own
        self._shared = CompiledStore(shared, is_own=False) if shared else None

    def has(self, key: str) -> bool:
        """Whether there is an entry, here or in the shared store; `take` verifies it."""
        return (self._path(key) / ABOUT).is_file() or bool(self._shared and self._shared.has(key))

    def take(self, key: str, target: Path) -> Compilation | None:
        """Return what came of compiling, with its forms copied to the folder `target`, if any.

        None without an entry. A damaged one is removed. What only the shared store has is copied
        into this one.
        """
        if found := self._copy(key, target):
            return found
        if not self._shared:
            return None
        try:
            found = self._shared._copy(key, target)
        except OSError as error:  # a volume that is away
            _log.warning("the shared store of compiled models cannot be read: %s", error.strerror)
            remove_tree(target)
            return None
        if found:
            self._add(key, target if target.is_dir() else None, found)
        return found

    @contextmanager
    def working(self) -> Iterator[Path]:
        """Make a folder in which forms are made, on the disk of the store; it is removed."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = Path(tempfile.mkdtemp(prefix=".compiling-", suffix=TEMPORARY, dir=self._folder))
        lock = _held(path)
        try:
            yield path
        finally:
            with suppress(OSError):
                remove_tree(path)
            os.close(lock)

    def add(self, key: str, forms: Path | None, compilation: Compilation, *, share: bool) -> None:
        """Add an entry with a copy of its `forms`, None if there are none.

        `share`: in the shared store, too; a failure there is logged.
        """
        self._add(key, forms, compilation)
        if share and self._shared and not self._shared.has(key):
            try:
                self._shared._add(key, forms, compilation)
            except OSError as error:
                reason = error.strerror
                _log.warning("the shared store of compiled models cannot be written: %s", reason)

    def note(self, commit: str, keys: Collection[str], *, keep: int) -> None:
        """Note which entries the models of a commit have, and remove those that none of the `keep`
        commits noted last has, and what crashes left.
        """
        notes = self._folder / "notes"
        notes.mkdir(parents=True, exist_ok=True)
        content = "".join(f"{key}\n" for key in sorted(keys)).encode()
        name = f"{commit}-{hashlib.sha256(content).hexdigest()[:16]}"
        write_atomically(notes / name, content)
        found = [one for one in notes.iterdir() if not one.name.startswith(".")]
        found.sort(key=lambda one: one.stat().st_mtime, reverse=True)
        for old in found[keep:]:
            old.unlink(missing_ok=True)
        needed = {key for one in found[:keep] for key in _keys(one)}
        self._clear_up()
        for entry in (self._folder / FORMS).glob("[!.]*"):
            # Another pod notes what it has added when its sync ends.
            if entry.name not in needed and (self._is_own or _is_old(entry)):
                remove_tree(entry)
        if self._shared:
            with suppress(OSError):
                self._shared.note(commit, keys, keep=max(keep, 10))

    def _clear_up(self) -> None:
        """Remove what crashes left: what no process holds here, and no process of another pod has
        written for a day.
        """
        for left in self._folder.glob(f".*{TEMPORARY}"):
            with suppress(FileNotFoundError):
                if _is_old(left) or (self._is_own and not locks.is_locked(left)):
                    remove_tree(left)

    def _path(self, key: str) -> Path:
        return self._folder / FORMS / key

    def _copy(self, key: str, target: Path) -> Compilation | None:
        """As `take`, from this store alone."""
        entry = self._path(key)
        try:
            about = json.loads((entry / ABOUT).read_bytes())
            compilation = from_json(Compilation, about["compilation"])
            digests = dict(about["files"])
        except FileNotFoundError:
            if entry.is_dir():
                self._discard(entry)
            return None
        except (ValueError, KeyError, TypeError, AttributeError):
            self._discard(entry)
            return None
        try:
            for name, digest in sorted(digests.items()):
                if not _copy_file(entry / FORMS / name, target / name, digest):
                    remove_tree(target)
                    self._discard(entry)
                    return None
        except OSError:  # a full disk: a part of the forms is none
            remove_tree(target)
            raise
        return compilation

    def _discard(self, entry: Path) -> None:
        _log.warning("a compiled model is damaged on disk, and is compiled again")
        with suppress(OSError):  # of a shared store that may only be read
            remove_tree(entry)

    def _add(self, key: str, forms: Path | None, compilation: Compilation) -> None:
        folder = self._folder / FORMS
        folder.mkdir(parents=True, exist_ok=True)
        entry = Path(tempfile.mkdtemp(prefix=".new-", suffix=TEMPORARY, dir=self._folder))
        lock = _held(entry)
        try:
            digests = _copy_all(forms, entry / FORMS) if forms else {}
            about = {"compilation": asdict(compilation), "files": digests}
            (entry / ABOUT).write_bytes(as_json(about))
            entry.chmod(0o755)
            with suppress(OSError):  # another pod has added it
                entry.rename(self._path(key))
        finally:
            remove_tree(entry)
            os.close(lock)


def _is_old(folder: Path) -> bool:
    return time.time() - folder.stat().st_mtime > _DAY


def _held(folder: Path) -> int:
    """Return the descriptor of a lock that keeps a folder from being cleared up."""
    number = locks.open_for_lock(folder)
    with suppress(OSError):  # a volume without locks
        locks.lock(number, shared=True)
    return number


def _copy_all(source: Path, target: Path) -> dict[str, str]:
    """Copy the files of a folder; return their digests, by path below it."""
    digests = {}
    for file in sorted(one for one in source.rglob("*") if one.is_file()):
        name = file.relative_to(source).as_posix()
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
        with copy.open("rb") as written:
            digests[name] = hashlib.file_digest(written, "sha256").hexdigest()
    return digests


def _copy_file(source: Path, target: Path, digest: str) -> bool:
    """Copy a file; False if it is missing, or not what was stored."""
    if ".." in source.parts or not source.is_file():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    with target.open("rb") as copy:
        return hashlib.file_digest(copy, "sha256").hexdigest() == digest


def _keys(note: Path) -> list[str]:
    try:
        return re.findall(r"^[0-9a-f]{64}$", note.read_text("ascii"), re.MULTILINE)
    except (OSError, UnicodeDecodeError):
        return []
