"""The source that the settings name: a git repository, or a local folder; and its substitutes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from modelsync.deadline import Deadline
from modelsync.environments import requirements
from modelsync.environments.requirements import Found
from modelsync.errors import NoModels, NotPinned, RefNotFound
from modelsync.files import remove_tree, storage
from modelsync.git import url
from modelsync.git.cache import MirrorCache
from modelsync.git.lfs.large_files import Faults, LargeFiles
from modelsync.git.mirror import Mirror
from modelsync.models.discovery.repository_files import RepositoryFiles
from modelsync.models.discovery.shared_code import SharedCode
from modelsync.models.types import ModelName, TreeHash
from modelsync.releases.store import Release, Releases
from modelsync.settings import ModelSelection, Settings
from modelsync.sync import folder_source
from modelsync.sync.folder_source import FolderSource
from modelsync.sync.selected import model_folders, nothing_selected
from modelsync.sync.source import Source, SourceExport, SourceKind, T


class GitSource:
    """The repository of the settings, through the mirror in the state directory."""

    kind: SourceKind = "git"

    def __init__(self, settings: Settings, *, offline: bool = False) -> None:
        git = settings.git
        self._cache = MirrorCache(git.cache, git) if git.cache else None
        nearby = self._cache.mirror if self._cache else None
        self._mirror = Mirror(settings.state.home, git, nearby=nearby, offline=offline)
        self._large_files = LargeFiles(
            settings.state.home,
            git,
            mirror=self._mirror.path,
            cache=nearby.parent if nearby else None,
            keep=settings.sync.keep_releases,
            offline=offline,
        )
        self._git = git
        self._tip = ""
        self.origin = url.origin(git)
        self.view = git.subdir
        self.selection = git.models

    def resolve(self, deadline: Deadline) -> str:
        """One `ls-remote`; of a pinned revision, none.

        Raises NotPinned where the ref's commit may not be served: then the repository answers.
        """
        if self._git.revision and not self._git.revision.valid:
            raise NotPinned(_unreadable(self._git.revision.commit))
        commit = self._mirror.resolve(deadline)
        if not self._git.follows and not self._git.revision:
            raise NotPinned(_WAITING)
        self._tip = commit if self._git.follows else ""
        return commit

    def export(self, commit: str, target: Path, deadline: Deadline) -> SourceExport:
        """Fetch the commit if the mirror does not have it, and write its folders."""
        self._mirror.fetch(commit, deadline)
        if self._cache:
            self._cache.keep(self._mirror.path, commit, tip=commit == self._tip)
        versions = self._mirror.versions(commit, deadline)
        export = self._mirror.export(commit, target, deadline)
        shared = self._shared(commit, deadline) if export.beside & requirements.NAMES else None
        return SourceExport(commit, versions, export.problems, export.beside, shared)

    def fetch_objects(self, commit: str, folder: Path, deadline: Deadline) -> Faults:
        """From the LFS server of the repository, through the store in the state directory."""
        return self._large_files.put_in_place(commit, folder, deadline)

    def inspect(self, commit: str, deadline: Deadline, action: Callable[[RepositoryFiles], T]) -> T:
        """Read objects of the mirror."""
        return self._mirror.inspect(commit, deadline, action)

    def tags(self, deadline: Deadline) -> Mapping[str, str] | None:
        """Those that `resolve` has seen. A pinned pod leaves them to the rollout."""
        return self._mirror.tags(deadline) if self._git.follows else None

    def versions(self, commit: str, deadline: Deadline) -> Mapping[str, TreeHash]:
        """Fetch the commit if the mirror does not have it; of one without the folder, nothing."""
        self._mirror.fetch(commit, deadline)
        try:
            trees = self._mirror.versions(commit, deadline)
        except NoModels:
            return {}

        def versions(files: RepositoryFiles) -> dict[str, TreeHash]:
            code = SharedCode(files, self.view)
            return {name: code.of(name).version(tree) for name, tree in trees.items()}

        return self._mirror.inspect(commit, deadline, versions)

    def _shared(self, commit: str, deadline: Deadline) -> Found:
        """The requirements beside the folders, else those at the top of the repository."""
        for subdir in dict.fromkeys((self.view, "")):
            with self._mirror.files(commit, subdir, deadline) as read:
                if found := requirements.find(read):
                    return found
        return None

    def no_models(self, commit: str, deadline: Deadline) -> NoModels:
        """Name the models that are not selected, or the folder that has models, if there is one."""
        folders = self.inspect(commit, deadline, lambda files: model_folders(files, self.view))
        if self.selection and folders:
            return nothing_selected(self.selection, folders)
        message = "the commit holds no model folder: none has an etls.py"
        if folder := self._mirror.suggested_subdir(commit, deadline):
            return NoModels(f"{message}; {folder}/ does: set MODELSYNC_GIT_SUBDIR={folder}")
        return NoModels(message)


class CachedSource(GitSource):
    """The repository as the cache last saw it. The remote is not asked."""

    kind: SourceKind = "cache"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, offline=True)

    def resolve(self, deadline: Deadline) -> str:
        """The pinned revision, else the last commit of the ref, where that may be served.

        Raises RefNotFound if the cache does not know it.
        """
        assert self._cache
        seen = self._cache.seen() if self._git.follows else None
        if commit := self._git.revision.commit or seen:
            return commit
        raise RefNotFound("the cache does not hold the ref")

    def tags(self, deadline: Deadline) -> None:
        """The cache does not keep them."""


_WAITING = (
    "waiting for `modelsync rollout` to check and pin the first commit; if that takes long, the "
    "Events of the Deployment say why"
)


def _unreadable(pin: str) -> str:
    return (
        f"this pod is pinned to {pin[:100]!r}, which is not the full hash of a commit; "
        "`modelsync rollout` mends that, and `modelsync rollout --pin` takes any name of a commit"
    )


class SingleModel:
    """One model of a source, for a job that fits it: the others need no check and no environment.

    Labels and the next sync are not its business.
    """

    def __init__(self, source: Source, name: ModelName) -> None:
        self._source = source
        self._name = name
        self.kind, self.origin, self.view = source.kind, source.origin, source.view
        self.selection = ModelSelection(frozenset({name}))

    def resolve(self, deadline: Deadline) -> str:
        """The commit of the source."""
        return self._source.resolve(deadline)

    def export(self, commit: str, target: Path, deadline: Deadline) -> SourceExport:
        """Export all folders, and keep that of the model."""
        found = self._source.export(commit, target, deadline)
        with storage():
            for folder in target.iterdir():
                if folder.name != self._name:
                    remove_tree(folder)
        problems = {name: one for name, one in found.problems.items() if name == self._name}
        return replace(found, problems=problems)

    def fetch_objects(self, commit: str, folder: Path, deadline: Deadline) -> Faults:
        """As the source does: of the others no pointer is left."""
        return self._source.fetch_objects(commit, folder, deadline)

    def inspect(self, commit: str, deadline: Deadline, action: Callable[[RepositoryFiles], T]) -> T:
        """Those of the source: its model may import modules of the others."""
        return self._source.inspect(commit, deadline, action)

    def tags(self, deadline: Deadline) -> None:
        """None: no job reads them."""

    def versions(self, commit: str, deadline: Deadline) -> Mapping[str, TreeHash]:
        """Never asked."""
        return {}

    def no_models(self, commit: str, deadline: Deadline) -> NoModels:
        """Name the model that is missing."""
        return NoModels(f"the commit {commit[:12]} holds no model {self._name}")


def source_of(settings: Settings) -> Source:
    """The source that the settings name. Raises SettingsError if that is not allowed."""
    return FolderSource(settings) if settings.standalone else GitSource(settings)


def name_of(source: Source) -> str:
    """The name of a source: its kind, and what tells it from others of the kind."""
    return f"{source.kind} {source.origin}"


def substitutes(settings: Settings) -> Iterator[Source]:
    """The sources to start from while the repository is unreachable and nothing serves yet.

    The best comes first. A revision on probation starts from the cache alone, which holds that very
    commit: a pod that serves another commit must not look ready.
    """
    if settings.standalone:
        return
    if settings.git.cache:
        yield CachedSource(settings)
    if _folder_allowed(settings):
        yield FolderSource(settings)


def current(settings: Settings) -> Release | None:
    """The current release; None if it comes from another source than the settings name."""
    release = Releases(settings.state.home).current()
    return release if release and _is_from_source(settings, release) else None


def _is_from_source(settings: Settings, release: Release) -> bool:
    local = settings.standalone or release.source == "folder"
    here = folder_source.place(settings.state.models) if local else url.origin(settings.git)
    if release.origin not in {"", here}:  # empty: written by an older version
        return False
    if local:
        return release.source == "folder" and (settings.standalone or _folder_allowed(settings))
    return True


def _folder_allowed(settings: Settings) -> bool:
    return settings.git.fallback and not settings.git.on_probation
