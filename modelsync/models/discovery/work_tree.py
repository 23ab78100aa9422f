"""Where a local folder of models lies in its repository."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from modelsync.models.discovery.repository_files import FolderFiles
from modelsync.models.discovery.shared_folders import SharedFolders


@dataclass(frozen=True, slots=True)
class LocalRepository:
    """The repository of a folder with models: its `top`, and the folder's path from there.

    `only`: the one name at the top that belongs to it; empty if all do.
    """

    top: Path
    subdir: str
    only: str = ""

    @classmethod
    def of(cls, folder: Path, top: Path | None = None) -> LocalRepository:
        """Find the git work tree that a folder lies in.

        Without one the repository is `top`, else the folder itself, under its own name.
        """
        folder = folder.resolve()
        found = next((one for one in (folder, *folder.parents) if (one / ".git").exists()), None)
        top = found or (top.resolve() if top else None)
        if top and folder.is_relative_to(top):
            subdir = folder.relative_to(top).as_posix()
            return cls(top, "" if subdir == "." else subdir)
        return cls(folder.parent, folder.name, folder.name)

    @property
    def folder(self) -> Path:
        """The folder with the models."""
        return self.top / self.subdir

    @property
    def is_inside(self) -> bool:
        """Whether all of the repository lies in the folder with the models."""
        return bool(self.only) or not self.subdir

    def files(self) -> FolderFiles:
        """Return its files, as they are now."""
        return FolderFiles(self.top, self.only)

    def in_place(self) -> SharedFolders:
        """Return the shared files of its models where they are, for an analysis."""
        return SharedFolders(self.files(), self.subdir, self.top, copies=False)

    def copied(self, place: Path) -> SharedFolders:
        """Return the shared files of its models, which are copied below `place`."""
        return SharedFolders(self.files(), self.subdir, place)
