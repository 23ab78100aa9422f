"""The protocol of a source of model folders, and what an export of it has written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeVar

from modelsync.deadline import Deadline
from modelsync.environments.requirements import Found
from modelsync.errors import NoModels
from modelsync.git.lfs.large_files import Faults
from modelsync.models.discovery.repository_files import RepositoryFiles
from modelsync.models.types import Fault, TreeHash
from modelsync.settings import ModelSelection

SourceKind = Literal["git", "cache", "folder"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SourceExport:
    """What `Source.export` has written.

    `versions`: the tree hash of each folder; None: to be computed. `problems`: faults of unsafe
    files by folder. `beside`: the names next to the model folders, as `files.listed` gives them.
    `shared`: the requirements there, for the folders without their own.
    """

    commit: str
    versions: dict[str, TreeHash] | None
    problems: dict[str, tuple[Fault, ...]] = field(default_factory=dict)
    beside: frozenset[str] = frozenset()
    shared: Found = None


class Source(Protocol):
    """The source of a release.

    `origin` names the repository, `view` the part of it that is served, `selection` the models
    there that are.
    """

    kind: SourceKind
    origin: str
    view: str
    selection: ModelSelection

    def resolve(self, deadline: Deadline) -> str:
        """The commit that is wanted now; of a local folder, the digest of its content.

        Raises SyncError.
        """

    def export(self, commit: str, target: Path, deadline: Deadline) -> SourceExport:
        """Write the model folders of `commit` that are selected, and the other folders beside them,
        into the new folder `target`. Raises SyncError.
        """

    def fetch_objects(self, commit: str, folder: Path, deadline: Deadline) -> Faults:
        """Put large files in the place of their Git LFS pointers, anywhere below a folder of files
        of the commit.

        Returns the faults by the first name of the path. Raises SyncError.
        """

    def inspect(self, commit: str, deadline: Deadline, action: Callable[[RepositoryFiles], T]) -> T:
        """Call `action` with the files of the whole repository; twice if they were damaged.

        Raises SyncError, and whatever `action` raises.
        """

    def tags(self, deadline: Deadline) -> Mapping[str, str] | None:
        """The tags that may be labels, with their commits; None if nobody is asked for them here.

        Raises SyncError.
        """

    def versions(self, commit: str, deadline: Deadline) -> Mapping[str, TreeHash]:
        """The tree hash of each folder of a commit that a tag names. Raises SyncError."""

    def no_models(self, commit: str, deadline: Deadline) -> NoModels:
        """The error for a commit without a model folder that is selected, with advice."""
