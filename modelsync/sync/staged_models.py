"""The models of a release while it is built: found in the commit, and those that take the place of
broken ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelsync.deadline import Deadline
from modelsync.environments.assignment import assign
from modelsync.environments.builder import Builder
from modelsync.files import copy_tree, remove_tree, storage
from modelsync.models.discovery.folders import discover
from modelsync.models.types import CheckResult, ModelEntry, ModelName, ModelSpec
from modelsync.releases.store import Release, Staging
from modelsync.sync import shared_folders
from modelsync.sync.plan import decide, with_problems
from modelsync.sync.source import Source


@dataclass(frozen=True, slots=True)
class StagedModels:
    """The models of a commit, whose files are in the `staging` folder.

    `beside`: the names beside their folders.
    """

    staging: Staging
    commit: str
    specs: Sequence[ModelSpec]
    beside: frozenset[str]

    @classmethod
    def of(
        cls, source: Source, wanted: str, staging: Staging, builder: Builder, deadline: Deadline
    ) -> StagedModels:
        """Export a commit, find its models, their shared code and their environments.

        Raises SyncError.
        """
        root = staging.models_serve
        exported = source.export(wanted, root, deadline)
        if not (found := discover(root, exported.versions, subdir=source.view)):
            raise source.no_models(wanted, deadline)
        specs = with_problems(root, found, exported.problems)
        with storage():
            specs = source.inspect(
                wanted, deadline, lambda files: shared_folders.share(specs, files, staging.shared)
            )
        specs = assign(specs, exported.shared, builder)
        beside = exported.beside - {f"{spec.name}/" for spec in specs}
        return cls(staging, exported.commit, specs, beside)

    def entries(
        self,
        results: Mapping[ModelName, CheckResult],
        current: Release | None,
        release_id: str,
        *,
        keep_previous: bool,
    ) -> list[ModelEntry]:
        """Return the entries of the new release, whose files are in place then.

        A release holds all that it serves, so that older ones can be removed as soon as no process
        runs them. Raises StorageFailed.
        """
        found = []
        for spec in self.specs:
            before = current.models.get(spec.name) if current else None
            entry = decide(
                spec,
                results[spec.name],
                before,
                keep_previous=keep_previous,
                release_id=release_id,
            )
            if current and before and entry.state == "stale":
                self._keep(before, current)
            found.append(entry)
        with storage():
            shared_folders.remove_unused(found, self.staging.shared)
        return found

    def _keep(self, before: ModelEntry, current: Release) -> None:
        """Put the files of an earlier version in the place of a broken one's."""
        folder = self.staging.models_serve / before.name
        with storage():
            remove_tree(folder)
            copy_tree(current.path / before.folder, folder)
            shared_folders.keep(before, current.path, self.staging.shared)
