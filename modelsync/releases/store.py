"""Stores releases on disk: each is built aside, published by one rename, made current by another.

    home/lock              the lock of the process that syncs
    home/releases/<id>/    models_serve/, shared/, compiled/, serve_models.py, release.json;
                           published, never modified
    home/current           a link to releases/<id>

A crash before the first rename leaves a temporary folder; between the two, a release that is not
current; after the second, the new release. `sweep`, with which each sync starts, removes the first
two. A process that writes holds `lock()`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import count
from pathlib import Path
from typing import Any, Literal

from modelsync import locks
from modelsync.clock import now
from modelsync.deadline import Deadline
from modelsync.errors import ReleaseUnreadable, SyncTimeout
from modelsync.files import (
    TEMPORARY,
    as_json,
    flush,
    fsync_dir,
    remove_tree,
    replace_symlink,
    storage,
)
from modelsync.models.model_warnings import PassedOver
from modelsync.models.serialization import entry_from_json, entry_to_json, from_json
from modelsync.models.types import ModelEntry, ModelName

FORMAT = 1
"""The format of release.json. Another one was written by another version of modelsync."""

Source = Literal["git", "cache", "folder"]

_ID = re.compile(r"[0-9a-f]{7,64}(\.[1-9][0-9]*)?")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Release:
    """One published state of all models.

    `commit`: the commit's hash, or the digest of a local folder. `origin`: the repository or
    the local folder it was made from; empty in a release of an older version of modelsync.
    `passed_over`: what looks like a model there and is not taken.
    `Staging.publish` sets `path` and `created`.
    """

    id: str
    commit: str
    source: Source
    environment: str
    models: dict[ModelName, ModelEntry] = field(default_factory=dict)
    path: Path = Path()
    created: str = ""
    origin: str = ""
    passed_over: tuple[PassedOver, ...] = ()

    @property
    def models_serve(self) -> Path:
        """The folder with the model folders."""
        return self.path / "models_serve"

    @property
    def environments(self) -> set[str]:
        """The ids of the environments that its models need."""
        return {entry.spec.environment for entry in self.models.values() if entry.version} - {""}


class Staging:
    """A release while it is built: a folder that no other code reads before `publish`."""

    def __init__(self, releases: Path, path: Path) -> None:
        self.path = path
        self._releases = releases

    @property
    def models_serve(self) -> Path:
        """The place of the folder with the model folders; it does not exist yet."""
        return self.path / "models_serve"

    @property
    def shared(self) -> Path:
        """The place of the folders with shared files, one for each set of them."""
        return self.path / "shared"

    @property
    def compiled(self) -> Path:
        """The place of the folders with compiled forms, one for each model that has some."""
        return self.path / "compiled"

    def publish(self, release: Release, serve_models_source: str) -> Release:
        """Write the two files, flush everything to disk and give the folder its name.

        Returns the release with its new path; it is not current yet. Raises StorageFailed; then
        nothing was published.
        """
        path = self._releases / release.id
        published = replace(release, path=path, created=now())
        with storage():
            (self.path / "serve_models.py").write_text(serve_models_source, "utf-8")
            (self.path / "release.json").write_bytes(_to_json(published))
            self.path.chmod(0o755)
            flush(self.path)
            # This fails if a release of that id exists, because its folder is not empty: no
            # release is ever replaced.
            self.path.rename(path)
            fsync_dir(self._releases)
        return published


class Releases:
    """The store of releases in the state directory."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._folder = home / "releases"
        self._link = home / "current"

    @contextmanager
    def lock(self, deadline: Deadline) -> Iterator[None]:
        """Hold the lock of the state directory, which the kernel releases with the process.

        Raises SyncTimeout if another process holds it until the deadline, StorageFailed if
        the lock file cannot be made.
        """
        with storage():
            self._home.mkdir(parents=True, exist_ok=True)
            number = locks.open_for_lock(self._home / "lock")
        try:
            try:
                with storage():
                    locks.lock(number, deadline=deadline)
            except SyncTimeout:
                waited = f"{deadline.seconds:g} s"
                raise SyncTimeout(f"another sync did not end within {waited}") from None
            yield
        finally:
            os.close(number)

    def current(self) -> Release | None:
        """Return the current release; None without one, or if it cannot be read (logged)."""
        if not (name := self.current_id()):
            return None
        try:
            return self.read(name)
        except ReleaseUnreadable as error:
            _log.error("the current release cannot be used and will be rebuilt: %s", error)
            return None

    def current_id(self) -> str | None:
        """Return the id of the current release, whether that can be read or not."""
        try:
            return self._link.readlink().name
        except OSError:
            return None

    def read(self, release_id: str) -> Release:
        """Read a release. Raises ReleaseUnreadable if it is missing or damaged."""
        if not _ID.fullmatch(release_id):
            raise ReleaseUnreadable(f"{release_id!r} is not the id of a release")
        path = self._folder / release_id
        try:
            release = _from_json(path, (path / "release.json").read_bytes())
        except OSError as error:
            message = f"release {release_id}: release.json: {error.strerror}"
            raise ReleaseUnreadable(message) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            message = f"release {release_id}: release.json is damaged: {error}"
            raise ReleaseUnreadable(message) from None
        is_whole = (path / "serve_models.py").is_file() and release.models_serve.is_dir()
        if release.id != release_id or not is_whole:
            raise ReleaseUnreadable(f"release {release_id} is incomplete")
        return release

    def history(self) -> list[Release]:
        """Return every release that can be read, the newest first."""
        found = []
        for name in self._names():
            with suppress(ReleaseUnreadable):
                found.append(self.read(name))
        return sorted(found, key=lambda release: release.created, reverse=True)

    def environments(self) -> set[str]:
        """Return the ids of the environments that any release on disk needs."""
        return {name for release in self.history() for name in release.environments}

    def next_id(self, commit: str) -> str:
        """Return the id for a new release: the commit, with `.2`, `.3`, ... if that is taken."""
        taken = set(self._names())
        names = (commit if number == 1 else f"{commit}.{number}" for number in count(1))
        return next(name for name in names if name not in taken)

    @contextmanager
    def stage(self) -> Iterator[Staging]:
        """Make a folder in which a release is built, and remove it unless it was published.

        Raises StorageFailed.
        """
        with storage():
            self._folder.mkdir(parents=True, exist_ok=True)
            path = Path(tempfile.mkdtemp(prefix=".staging-", suffix=TEMPORARY, dir=self._folder))
        try:
            yield Staging(self._folder, path)
        finally:
            with suppress(OSError):
                remove_tree(path)

    def make_current(self, release: Release) -> None:
        """Point `current` at a published release, in one step.

        Raises StorageFailed; then it points where it did.
        """
        with storage():
            replace_symlink(self._link, f"releases/{release.id}")

    def hold(self, release: Release) -> int:
        """Keep a release from `sweep` as long as this process or a fork of it lives.

        Returns the descriptor of the kernel's lock on its folder, which no crash leaves behind.
        Raises StorageFailed.
        """
        with storage():
            number = locks.open_for_lock(release.path)
            locks.lock(number, shared=True)
        return number

    def held(self) -> set[str]:
        """Return the ids of the releases that any process holds."""
        found = set()
        for name in self._names():
            with suppress(OSError):
                if locks.is_locked(self._folder / name):
                    found.add(name)
        return found

    def sweep(self, keep: int, in_use: Collection[str] = ()) -> None:
        """Remove what killed syncs left, and all but the newest `keep` releases.

        The current release stays, and those `in_use`. A release that is newer than the current one
        and not in use was never made current, or was withdrawn: it is removed too. Raises
        StorageFailed.
        """
        with storage():
            for folder in (self._home, self._folder):
                for left in folder.glob(f".*{TEMPORARY}"):
                    remove_tree(left)
            current, history = self.current(), self.history()
            if current:
                older = [release for release in history if release.created < current.created]
                history = [current, *older]
            kept = {self.current_id(), *(release.id for release in history[:keep]), *in_use}
            for name in self._names():
                if name not in kept:
                    self._remove(name)

    def _remove(self, name: str) -> None:
        # Under another name first: a partly removed folder must not look like a release.
        trash = Path(tempfile.mkdtemp(prefix=".trash-", suffix=TEMPORARY, dir=self._folder))
        (self._folder / name).rename(trash / name)
        remove_tree(trash)

    def _names(self) -> list[str]:
        try:
            return [item.name for item in self._folder.iterdir() if not item.name.startswith(".")]
        except OSError:
            return []


# --- release.json ---------------------------------------------------------------------------------


def _to_json(release: Release) -> bytes:
    names = [item.name for item in fields(Release) if item.name != "path"]
    values = {"format": FORMAT} | {name: getattr(release, name) for name in names}
    values["passed_over"] = [asdict(one) for one in release.passed_over]
    values["models"] = {name: entry_to_json(entry) for name, entry in release.models.items()}
    return as_json(values)


def _from_json(path: Path, data: bytes) -> Release:
    values: dict[str, Any] = json.loads(data)
    if (found := values.pop("format")) != FORMAT:
        raise ValueError(f"format {found!r} is not {FORMAT}: another version of modelsync wrote it")
    models = {ModelName(name): entry_from_json(entry) for name, entry in values["models"].items()}
    return from_json(Release, {**values, "path": path, "models": models})
