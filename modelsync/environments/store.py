"""Environments on disk: each is built aside and gets its name by one rename.

    home/environments/<id>/               a virtual environment, never modified after its rename
    home/environments/<id> -> PREPARED    one that was built beforehand (`MODELSYNC_ENVIRONMENTS`)
    home/environments/.lock               held by the process that builds or removes
    home/environments/.resolved/, .cache/ see `resolutions` and `builder`

A crash leaves a temporary folder, which the next build or sweep removes.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from modelsync import locks
from modelsync.clock import now
from modelsync.deadline import Deadline
from modelsync.files import TEMPORARY, as_json, fsync_dir, remove_tree, storage
from modelsync.models.convention import ENVIRONMENT

ABOUT = ENVIRONMENT
"""The file of an environment that describes it; the last one that is written."""


@dataclass(frozen=True, slots=True)
class Environment:
    """An environment that has been built. `size`: bytes, files that others link too included."""

    id: str
    python: str
    packages: list[str] = field(default_factory=list)
    size: int = 0
    seconds: float = 0.0
    created: str = ""


def python_of(home: Path, environment: str) -> Path:
    """Return the path of the Python of an environment; it may have been removed."""
    return folder_of(home) / environment / "bin" / "python"


def folder_of(home: Path) -> Path:
    """Return the folder of the environments of a state directory."""
    return home.absolute() / "environments"


class Environments:
    """The environments in a folder. `prepared`: a folder of the same form, which is only read."""

    def __init__(self, folder: Path, prepared: Path | None = None) -> None:
        self.folder = folder.absolute()
        self._prepared = Environments(prepared) if prepared else None

    @contextmanager
    def lock(self, deadline: Deadline) -> Iterator[None]:
        """Hold the lock of the folder, so that no other process builds or removes.

        Raises SyncTimeout, StorageFailed.
        """
        with storage():
            self.folder.mkdir(parents=True, exist_ok=True)
            number = locks.open_for_lock(self.folder / ".lock")
        try:
            locks.lock(number, deadline=deadline)
            yield
        finally:
            os.close(number)

    def has(self, environment: str) -> bool:
        """Whether an environment is here; one that is prepared is linked to here.

        Raises StorageFailed.
        """
        if self._is_whole(environment):
            return True
        if not (self._prepared and self._prepared._is_whole(environment)):
            return False
        with storage():
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_tree(self.folder / environment)
            (self.folder / environment).symlink_to(self._prepared.folder / environment)
        return True

    def has_all(self, environments: Collection[str]) -> bool:
        """Whether all of these are here, as `has` tells."""
        return all(self.has(environment) for environment in environments)

    def pythons(self, environments: Collection[str]) -> dict[str, Path]:
        """Return the path of the Python of each of these, without that of none."""
        return {name: self.folder / name / "bin" / "python" for name in environments if name}

    def _is_whole(self, environment: str) -> bool:
        folder = self.folder / environment
        # The interpreter is a link: it leads nowhere where Python has been replaced since.
        return (folder / ABOUT).is_file() and (folder / "bin" / "python").exists()

    @contextmanager
    def building(self) -> Iterator[Path]:
        """Make a folder in which an environment is built, and remove it unless it was published.

        The caller holds the lock, so what other temporary folders there are were left by a crash.
        Raises StorageFailed.
        """
        with storage():
            self._clear_up()
            path = Path(tempfile.mkdtemp(prefix=".building-", suffix=TEMPORARY, dir=self.folder))
        try:
            yield path
        finally:
            with suppress(OSError):
                remove_tree(path)

    def publish(self, path: Path, environment: Environment) -> None:
        """Give an environment that has been built its name. Raises StorageFailed."""
        target = self.folder / environment.id
        with storage():
            (path / ABOUT).write_bytes(as_json(asdict(environment) | {"created": now()}))
            path.chmod(0o755)
            if target.is_symlink() or target.exists():  # its interpreter is gone
                target.rename(Path(tempfile.mkdtemp(suffix=TEMPORARY, prefix=".", dir=self.folder)))
            path.rename(target)
            fsync_dir(self.folder)

    def hold(self, environment: str) -> int:
        """Keep an environment from `sweep` as long as this process or a fork of it lives.

        Returns the descriptor of the lock. Raises StorageFailed.
        """
        with storage():
            number = locks.open_for_lock(self.folder / environment)
            locks.lock(number, shared=True)
        return number

    def all(self) -> list[Environment]:
        """Return all environments, those of the prepared folder too, by id."""
        found = {item.id: item for item in self._prepared.all()} if self._prepared else {}
        for name in self._names():
            with suppress(OSError, ValueError, TypeError):
                found[name] = Environment(**json.loads((self.folder / name / ABOUT).read_bytes()))
        return [found[name] for name in sorted(found)]

    def sweep(self, needed: Collection[str]) -> list[str]:
        """Remove the environments that are not `needed`, and what crashes left; return their ids.

        One that a process holds stays; so does everything while a process builds. Raises
        StorageFailed.
        """
        if not self.folder.is_dir():
            return []
        with storage():
            number = locks.open_for_lock(self.folder / ".lock")
            try:
                if not locks.try_lock(number):
                    return []
                self._clear_up()
                unneeded = [name for name in self._names() if name not in needed]
                gone = [name for name in unneeded if not self._is_held(name)]
                for name in gone:
                    self._remove(name)
                return gone
            finally:
                os.close(number)

    def _is_held(self, name: str) -> bool:
        with suppress(OSError):  # a link to what is gone
            return locks.is_locked(self.folder / name)
        return False

    def _remove(self, name: str) -> None:
        # Under another name first: a partly removed folder must not look like an environment.
        trash = Path(tempfile.mkdtemp(prefix=".trash-", suffix=TEMPORARY, dir=self.folder))
        (self.folder / name).rename(trash / name)
        remove_tree(trash)

    def _clear_up(self) -> None:
        for left in self.folder.glob(f".*{TEMPORARY}"):
            remove_tree(left)

    def _names(self) -> list[str]:
        try:
            return [item.name for item in self.folder.iterdir() if not item.name.startswith(".")]
        except OSError:
            return []
