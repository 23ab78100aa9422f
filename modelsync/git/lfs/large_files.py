"""Puts large files in the place of their Git LFS pointers, in the folders of an export.

What cannot be had is the fault of the model that needs it; the others go on.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import stat
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from modelsync.deadline import Deadline
from modelsync.errors import ObjectAltered, ObjectUnavailable, SyncError, SyncTimeout
from modelsync.files import TEMPORARY, storage
from modelsync.git import auth
from modelsync.git.checkout import shown
from modelsync.git.lfs import endpoint
from modelsync.git.lfs.batch import LACKS
from modelsync.git.lfs.connection import NO_TIME, LfsConnection
from modelsync.git.lfs.endpoint import LfsEndpoint
from modelsync.git.lfs.fetcher import Failures, LfsFetcher
from modelsync.git.lfs.objects import LfsObjects
from modelsync.git.maintenance import KEPT
from modelsync.git.process import GitRunner, session
from modelsync.git.url import validate
from modelsync.models.lfs_pointer import LfsPointer, pointers_below
from modelsync.models.types import Fault
from modelsync.observability.logs import event
from modelsync.settings import Git

SHARE = 0.9
"""The part of the time left that files may take, so that the other models are published in time."""

ROOM = 8 * 1024**2
"""Bytes of the disk that no object takes."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _LargeFile:
    """A pointer in an export, by its path there."""

    path: str
    pointer: LfsPointer

    @property
    def folder(self) -> str:
        """The first name of the path: the model's folder."""
        return self.path.split("/", 1)[0]

    def fault(self, error: ObjectUnavailable) -> Fault:
        """Why the file is not there."""
        return _fault(self.path, str(error), transient=not isinstance(error, ObjectAltered))


Faults = Mapping[str, tuple[Fault, ...]]


class LargeFiles:
    """The large files of one repository.

    `home`: the state directory, with the store of objects; `mirror`: the mirror there. `cache`: the
    folder of this repository in the cache that pods share. `keep`: commits whose objects stay.
    `offline`: no server is asked.
    """

    def __init__(
        self,
        home: Path,
        git: Git,
        *,
        mirror: Path,
        cache: Path | None = None,
        keep: int = 3,
        offline: bool = False,
    ) -> None:
        """Raise SettingsError if a URL of the settings is not allowed."""
        endpoint.validate(git)
        self._git = git
        self._remote = validate(git)
        self._home = home
        self._mirror = mirror
        self._objects = LfsObjects(home / "lfs")
        self._cache = LfsObjects(cache / "lfs") if cache else None
        self._keep = keep
        self._offline = offline

    def put_in_place(self, commit: str, folder: Path, deadline: Deadline) -> Faults:
        """Replace the pointers below `folder`, which are of a commit, by their files.

        Returns the faults by the first name of the path; a pointer that has one stays. Raises
        SyncError if this machine fails, or at the deadline.
        """
        if not self._git.lfs or not folder.is_dir():
            return {}
        with storage():
            found = dict(pointers_below(folder))
        if not found and not self._objects.exists():
            return {}
        wanted, faults = self._wanted(found)
        left, failures = wanted, Failures()
        for _ in range(2):  # the second time for what the disk has damaged
            failures = self._obtain(commit, left, Deadline(deadline.remaining() * SHARE))
            with storage():
                left = [
                    one
                    for one in left
                    if one.pointer in failures or not self._put(one, folder, deadline)
                ]
            if all(one.pointer in failures for one in left):
                break
        lost = ObjectUnavailable("the disk does not return what was written to it")
        faults |= {one.path: one.fault(failures.get(one.pointer, lost)) for one in left}
        self._keep_objects(commit, {one.pointer for one in wanted if one not in left}, deadline)
        return _by_folder(faults)

    def _wanted(self, found: Mapping[str, bytes]) -> tuple[list[_LargeFile], dict[str, Fault]]:
        """The files to fetch, and the faults of those that are not to be fetched, by path."""
        files, faults = [], {}
        for path, data in found.items():
            try:
                files.append(_LargeFile(path, LfsPointer.parse(data)))
            except ValueError as error:
                faults[path] = _fault(path, f"the pointer cannot be used: {error}")
        sizes: dict[str, int] = {}
        for folder, pointer in {(one.folder, one.pointer) for one in files}:
            sizes[folder] = sizes.get(folder, 0) + pointer.size
        for one in files:
            if (size := sizes[one.folder]) > self._git.lfs_size:
                faults[one.path] = _fault(
                    one.path,
                    f"the files of this folder have {_mib(size)}, and "
                    f"MODELSYNC_GIT_LFS_SIZE allows {_mib(self._git.lfs_size)}",
                )
        return [one for one in files if one.path not in faults], faults

    # --- objects ----------------------------------------------------------------------------------

    def _obtain(self, commit: str, files: Collection[_LargeFile], deadline: Deadline) -> Failures:
        """Bring objects into the store; returns those that cannot be had."""
        wanted = sorted({one.pointer for one in files})  # the smallest first: most models start
        with storage():
            self._objects.note(commit, wanted)
            missing = [one for one in wanted if not self._objects.has(one)]
            missing = [one for one in missing if not self._found_nearby(one, deadline)]
            failures = self._without_room(missing)
        missing = [one for one in missing if one not in failures]
        if not missing:
            return failures
        if self._offline or not deadline.remaining():
            why = "the cache does not hold it" if self._offline else NO_TIME
            return failures | dict.fromkeys(missing, ObjectUnavailable(why))
        return failures | self._fetch(commit, missing, deadline)

    def _found_nearby(self, pointer: LfsPointer, deadline: Deadline) -> bool:
        """Copy an object from the cache, or from a repository on this machine, if it is there."""
        for store in self._nearby():
            if store.has(pointer):
                file = self._objects.incomplete(pointer)
                with suppress(SyncTimeout):
                    if store.copy(pointer, file, deadline):
                        self._objects.admit(pointer, file)
                        return True
                file.unlink(missing_ok=True)
        return False

    def _nearby(self) -> list[LfsObjects]:
        stores = [self._cache] if self._cache else []
        if self._remote.protocol == "file":
            repository = Path(unquote(urlsplit(self._remote.url).path))
            stores += [LfsObjects(repository / "lfs"), LfsObjects(repository / ".git" / "lfs")]
        return stores

    def _without_room(self, pointers: Collection[LfsPointer]) -> Failures:
        """The objects for which the disk has no room, each once in the store and in the release.

        A disk that is full fails the whole sync, also for those that need nothing.
        """
        free, failures = shutil.disk_usage(self._home).free - ROOM, Failures()
        for pointer in pointers:
            if (free := free - 2 * pointer.size) < 0:
                failures[pointer] = ObjectUnavailable(
                    f"the state directory has no room for {_mib(2 * pointer.size)} more"
                )
        return failures

    def _fetch(self, commit: str, missing: list[LfsPointer], deadline: Deadline) -> Failures:
        """Fetch objects from the server, and log how that went."""
        started = time.monotonic()
        schemes = frozenset({"https"} | (self._git.protocols & {"http"}))
        patience = max(1.0, min(15.0, deadline.seconds / 8))
        connection = LfsConnection(schemes, deadline, patience)
        with session(self._home, self._git, self._remote, self._mirror, deadline) as run:
            fetcher = LfsFetcher(
                self._objects,
                connection,
                lambda: self._endpoint(run, commit),
                auth.secrets(self._git),
                deadline,
            )
            failures = fetcher.fetch(missing)
        fetched = [one for one in missing if one not in failures]
        size, seconds = sum(one.size for one in fetched), time.monotonic() - started
        event(
            _log,
            logging.WARNING if failures else logging.INFO,
            f"Git LFS: {len(fetched)} of {len(missing)} objects, {_mib(size)} in {seconds:.1f} s",
            event="lfs",
            fetched=len(fetched),
            failed=len(failures),
            bytes=size,
        )
        return failures

    def _endpoint(self, run: GitRunner, commit: str) -> LfsEndpoint:
        in_commit = "" if self._git.lfs_url else endpoint.configured(run, commit)
        return endpoint.find(self._git, self._remote, run, in_commit)

    def _keep_objects(
        self, commit: str, pointers: Collection[LfsPointer], deadline: Deadline
    ) -> None:
        """Remove objects of old commits, and copy those of this one to the cache.

        A cache that fails is logged: no sync depends on it.
        """
        with storage():
            self._objects.sweep(self._keep)
        if not self._cache:
            return
        try:
            with storage():
                self._cache.note(commit, pointers)
                for one in pointers:
                    if not self._cache.has(one):
                        self._copy_to_cache(self._cache, one, Deadline(deadline.remaining() / 2))
                self._cache.sweep(KEPT)
        except SyncError as error:
            _log.warning("the cache of Git LFS files cannot be updated: %s", error)

    def _copy_to_cache(self, cache: LfsObjects, pointer: LfsPointer, deadline: Deadline) -> None:
        # Pods write at the same time, each under a name of its own.
        file = cache.incomplete(pointer).with_suffix(f".{secrets.token_hex(8)}")
        try:
            if self._objects.copy(pointer, file, deadline):
                cache.admit(pointer, file)
        finally:
            file.unlink(missing_ok=True)

    # --- files ------------------------------------------------------------------------------------

    def _put(self, one: _LargeFile, folder: Path, deadline: Deadline) -> bool:
        """Put a file in the place of its pointer; False if the store has it no more, undamaged."""
        target = folder / one.path
        new = target.with_name(f".{one.pointer.oid[:16]}{TEMPORARY}")
        if not self._objects.copy(one.pointer, new, deadline):
            new.unlink(missing_ok=True)
            self._objects.discard(one.pointer)
            return False
        new.chmod(stat.S_IMODE(target.stat().st_mode))
        new.replace(target)
        return True


def _fault(path: str, message: str, *, transient: bool = False) -> Fault:
    inner = shown(path.partition("/")[2] or path)
    # The server is there, and was never sent the file: a push without git-lfs does that.
    hint = "`git lfs push --all origin` sends it" if LACKS in message else None
    return Fault("static", f"LFS pointer: {message}", file=inner, hint=hint, transient=transient)


def _by_folder(faults: Mapping[str, Fault]) -> Faults:
    found: dict[str, list[Fault]] = {}
    for path, fault in sorted(faults.items()):
        found.setdefault(shown(path.split("/", 1)[0]), []).append(fault)
    return {folder: tuple(some) for folder, some in found.items()}


def _mib(size: int) -> str:
    return f"{size / 1024**2:,.1f} MiB"
