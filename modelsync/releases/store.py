"""Releases on disk: built aside, published by one rename, made current by one more.

    home/lock                   held by the process that syncs
    home/releases/<id>/         models_serve/, serve_models.py, release.json; never modified
    home/current                a link to releases/<id>

A crash before the first rename leaves a temporary folder, between the two an unused release, after
the second one the new release. `sweep`, with which each sync starts, removes the first two. A
process that writes holds `lock()`.
"""

from __future__ import annotations

import json
import logging
import os
import re
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields, replace
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
from modelsync.models.serialization import entry_from_json, entry_to_json, from_json
from modelsync.models.types import ModelEntry, ModelName

FORMAT = 1
"""The format of release.json. Another one was written by another version of modelsync."""

Source = Literal["git", "cache", "folder"]

_ID = re.compile(r"[0-9a-f]{7,64}(\.[1-9][0-9]*)?")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Release:
    """One published state of all models. `commit`: the commit's hash, or the digest of a local
    folder.

    `origin` names the repository it was made from; empty for a local folder, and where an older
    version wrote it. `path` and `created` are set by `Staging.publish`.
    """

    id: str
    commit: str
    source: Source
    environment: str
    models: dict[ModelName, ModelEntry] = field(default_factory=dict)
    path: Path = Path()
    created: str = ""
    origin: str = ""

    @property
    def models_serve(self) -> Path:
        """The folder of the model folders."""
        return self.path / "models_serve"


class Staging:
    """A release while it is built: a folder that no process serves before `publish`."""

    def __init__(self, releases: Path, path: Path) -> None:
        self.path = path
        self._releases = releases

    @property
    def models_serve(self) -> Path:
        """The folder for the model folders; it does not exist yet."""
        return self.path / "models_serve"

    def publish(self, release: Release, serve_models_source: str) -> Release:
        """Write serve_models.py and release.json, flush all to the disk, and rename the folder to
        its id.

        Returns the release with its path; it is not current yet. Raises StorageFailed; then nothing
        is published.
        """
        path = self._releases / release.id
        published = replace(release, path=path, created=now())
        with storage():
            (self.path / "serve_models.py").write_text(serve_models_source, "utf-8")
            (self.path / "release.json").write_bytes(_to_json(published))
            self.path.chmod(0o755)
            flush(self.path)
            # Fails where a release of that id exists, since it is never empty: a release is never
            # replaced.
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
        """Hold the lock of the state directory: one process syncs into it at a time.

        The kernel releases it when the process dies. Raises SyncTimeout where another process holds
        it until the deadline, StorageFailed where it cannot be made.
        """
        with storage():
            self._home.mkdir(parents=True, exist_ok=True)
            number = locks.open_for_lock(self._home / "lock")
        try:
            try:
                locks.lock(number, deadline=deadline)
            except SyncTimeout:
                waited = f"{deadline.seconds:g} s"
                raise SyncTimeout(f"another sync did not end within {waited}") from None
            yield
        finally:
            os.close(number)

    def current(self) -> Release | None:
        """The release that serves, or should; None where there is none.

        None, too, where it cannot be read, which is logged.
        """
        if not (name := self.current_id()):
            return None
        try:
            return self.read(name)
        except ReleaseUnreadable as error:
            _log.error("the current release cannot be used and will be made anew: %s", error)
            return None

    def current_id(self) -> str | None:
        """The id that `current` points to, whether it can be read or not."""
        try:
            return self._link.readlink().name
        except OSError:
            return None

    def read(self, release_id: str) -> Release:
        """Read a release. Raises ReleaseUnreadable where it is missing, damaged or of another
        format.
        """
        if not _ID.fullmatch(release_id):
            raise ReleaseUnreadable(f"{release_id!r} is no id of a release")
        path = self._folder / release_id
        try:
            release = _from_json(path, (path / "release.json").read_bytes())
        except OSError as error:
            raise ReleaseUnreadable(
                f"release {release_id}: release.json: {error.strerror}"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ReleaseUnreadable(
                f"release {release_id}: release.json is damaged: {error}"
            ) from None
        if (
            release.id != release_id
            or not (path / "serve_models.py").is_file()
            or not release.models_serve.is_dir()
        ):
            raise ReleaseUnreadable(f"release {release_id} is not whole")
        return release

    def history(self) -> list[Release]:
        """Every release that can be read, the newest first."""
        found = []
        for name in self._names():
            with suppress(ReleaseUnreadable):
                found.append(self.read(name))
        return sorted(found, key=lambda release: release.created, reverse=True)

    def next_id(self, commit: str) -> str:
        """The id for a new release of a commit: the commit, or with `.2`, `.3`, ... if it exists
        already.
        """
        taken = set(self._names())
        number = 1
        while (name := commit if number == 1 else f"{commit}.{number}") in taken:
            number += 1
        return name

    @contextmanager
    def stage(self) -> Iterator[Staging]:
        """A folder to build a release in; removed on leaving, unless the release was published.

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
        """Keep a release from `sweep` as long as this process, or a fork of it, lives.

        By a shared lock on its folder, which no crash leaves behind. Returns the descriptor that
        holds it. Raises StorageFailed.
        """
        with storage():
            number = locks.open_for_lock(release.path)
            locks.lock(number, shared=True)
        return number

    def held(self) -> set[str]:
        """The ids of the releases that some process holds."""
        found = set()
        for name in self._names():
            with suppress(OSError):
                if locks.is_locked(self._folder / name):
                    found.add(name)
        return found

    def sweep(self, keep: int, in_use: Collection[str] = ()) -> None:
        """Remove what killed runs left, and all releases but the newest `keep`.

        Never the current one or one `in_use`. A release that is newer than the current one and not
        in use was never made current, or was taken back: it is removed, too. Raises StorageFailed.
        """
        with storage():
            for folder in (self._home, self._folder):
                for left in folder.glob(f".*{TEMPORARY}"):
                    remove_tree(left)
            current, history = self.current(), self.history()
            if current:
                history = [
                    current,
                    *(release for release in history if release.created < current.created),
                ]
            kept = {self.current_id(), *(release.id for release in history[:keep]), *in_use}
            for name in self._names():
                if name not in kept:
                    self._remove(name)

    def _remove(self, name: str) -> None:
        # Under another name first: a release that is half gone must not look like one.
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
    values = {"format": FORMAT} | {
        item.name: getattr(release, item.name) for item in fields(Release)
    }
    del values["path"]
    values["models"] = {name: entry_to_json(entry) for name, entry in release.models.items()}
    return as_json(values)


def _from_json(path: Path, data: bytes) -> Release:
    values: dict[str, Any] = json.loads(data)
    if (found := values.pop("format")) != FORMAT:
        raise ValueError(f"format {found!r} is not {FORMAT}: another version of modelsync wrote it")
    models = {ModelName(name): entry_from_json(entry) for name, entry in values["models"].items()}
    return from_json(Release, {**values, "path": path, "models": models})
