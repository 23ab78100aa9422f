"""A local folder as the source of models, with the shared code of the work tree that it lies in."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from modelsync.deadline import Deadline
from modelsync.environments import requirements
from modelsync.errors import NoModels
from modelsync.files import copy_tree, listed, storage, tree_hash
from modelsync.git.lfs.large_files import Faults
from modelsync.models.discovery.repository_files import FolderFiles, RepositoryFiles
from modelsync.models.discovery.shared_code import SharedCode, SharedFiles
from modelsync.models.discovery.work_tree import LocalRepository
from modelsync.models.types import TreeHash
from modelsync.releases.store import Releases
from modelsync.settings import Settings
from modelsync.sync.selected import left_out, model_folders, nothing_selected
from modelsync.sync.source import SourceExport, SourceKind, T

log = logging.getLogger(__name__)


class FolderSource:
    """A local folder: its files are served."""

    kind: SourceKind = "folder"

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.state.models
        self.origin = place(self._folder)
        self._repository = LocalRepository.of(self._folder)
        self.view = self._repository.subdir
        self.selection = settings.git.models

    def resolve(self, deadline: Deadline) -> str:
        """The digest of the folder's content, as git would compute it, and of its shared code."""
        if not self._folder.is_dir():
            # The error reaches clients, so only the log names the path.
            log.warning("%s is not a folder", self._folder.absolute())
            raise NoModels(
                f"there is no folder {self._folder.name}/: "
                "make it, or set gitPath or MODELSYNC_MODELS"
            )
        return self._digest(self._folder)

    def export(self, commit: str, target: Path, deadline: Deadline) -> SourceExport:
        """Copy the folder, so that edits do not reach what is being served."""
        with storage():
            copy_tree(self._folder, target, self._left_out())
            # A file may have changed since `resolve`: the copy counts.
            beside = frozenset(listed(self._folder) | listed(self._folder.absolute().parent))
            shared = requirements.find(requirements.below(target))
            return SourceExport(self._digest(target), None, beside=beside, shared=shared)

    def _digest(self, folder: Path) -> str:
        """Return the digest of the models in a folder and of the shared code that they use."""
        others = self._left_out()
        tree = tree_hash(folder, others)
        if self._repository.is_inside:  # then it is in that hash
            return tree
        found = {name.rstrip("/") for name in listed(folder) if name.endswith("/")}
        names = sorted(found - others)
        code = SharedCode(self._repository.files(), self.view)
        used: dict[str, str] = {}
        for name in names:
            used |= code.of(name, FolderFiles(folder / name)).digests
        return SharedFiles(used).version(tree)

    def _left_out(self) -> frozenset[str]:
        """The folders of models that are not selected, as they are now."""
        return left_out(self._repository.files(), self.view, self.selection)

    def fetch_objects(self, commit: str, folder: Path, deadline: Deadline) -> Faults:
        """A folder is served as it is: `git lfs pull` is for whoever owns it."""
        return {}

    def inspect(self, commit: str, deadline: Deadline, action: Callable[[RepositoryFiles], T]) -> T:
        """Read the folder, or the work tree that it lies in."""
        with storage():
            return action(self._repository.files())

    def tags(self, deadline: Deadline) -> None:
        """A folder has none."""

    def versions(self, commit: str, deadline: Deadline) -> Mapping[str, TreeHash]:
        """Never asked: a folder has no tags."""
        return {}

    def no_models(self, commit: str, deadline: Deadline) -> NoModels:
        """Name the models that are not selected, or say where a model folder belongs."""
        folders = model_folders(self._repository.files(), self.view)
        if self.selection and folders:
            return nothing_selected(self.selection, folders)
        return NoModels(f"no model folder in {self._folder.name}/: `modelsync new NAME` makes one")


def place(folder: Path) -> str:
    """Return what tells a local folder from others. No client and no file learns its path."""
    return hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]


def shared_places(settings: Settings) -> frozenset[Path]:
    """Return the folders outside of that with the models whose files are shared code, or may become
    that: whoever watches the models watches them too.
    """
    repository = LocalRepository.of(settings.state.models)
    if repository.is_inside:
        return frozenset()
    found = {repository.top / root for root in PurePosixPath(repository.subdir).parents}
    if release := Releases(settings.state.home).current():
        for folder in (release.path / "shared").glob("*/**/"):
            found.add(repository.top.joinpath(*folder.relative_to(release.path).parts[2:]))
    return frozenset(one for one in found if one.is_dir())
