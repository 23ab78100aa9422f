"""The models of a release while it is built: found in the commit, and those that take the place of
broken ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from modelsync.deadline import Deadline
from modelsync.environments.assignment import assign
from modelsync.environments.builder import Builder
from modelsync.files import storage
from modelsync.models.discovery.folders import discover
from modelsync.models.discovery.repository_code import modules_out_of_reach
from modelsync.models.discovery.repository_files import RepositoryFiles
from modelsync.models.discovery.shared_folders import SharedFolders, pointer_faults
from modelsync.models.model_warnings import PassedOver
from modelsync.models.types import CheckResult, ModelEntry, ModelName, ModelSpec
from modelsync.releases.store import Release, Staging
from modelsync.sync import kept_models
from modelsync.sync.plan import decide, with_problems, without_shared
from modelsync.sync.selected import missing, model_folders, not_taken
from modelsync.sync.source import Source


@dataclass(frozen=True, slots=True)
class StagedModels:
    """The models of a commit, whose files are in the `staging` folder.

    `beside`: the names beside their folders, and of modules in folders there. `others`: what looks
    like a model there and is none.
    """

    staging: Staging
    commit: str
    specs: Sequence[ModelSpec]
    beside: frozenset[str]
    others: tuple[PassedOver, ...]

    @classmethod
    def of(
        cls, source: Source, wanted: str, staging: Staging, builder: Builder, deadline: Deadline
    ) -> StagedModels:
        """Export a commit, find its models, their shared code and their environments.

        Raises SyncError.
        """
        root = staging.models_serve
        exported = source.export(wanted, root, deadline)
        lacking = source.fetch_objects(wanted, root, deadline)

        def found(files: RepositoryFiles) -> tuple[list[ModelSpec], frozenset[str], list[str]]:
            shared = SharedFolders(files, source.view, staging.shared)
            takes, view = source.selection.takes, source.view
            specs = discover(root, exported.versions, subdir=view, shared=shared, takes=takes)
            return specs, modules_out_of_reach(files, view), model_folders(files, view)

        specs, out_of_reach, folders = source.inspect(wanted, deadline, found)
        if not specs:
            raise source.no_models(wanted, deadline)
        selection = source.selection
        others = not_taken(selection, specs, root, source.view)
        problems = {**lacking, **exported.problems}
        problems = {name: one for name, one in problems.items() if selection.takes(name)}
        specs = with_problems(root, specs, problems)
        specs += missing(selection, specs, root, folders, source.view)
        lacking = source.fetch_objects(wanted, staging.shared, deadline)
        with storage():
            specs = without_shared(specs, {**pointer_faults(staging.shared), **lacking})
        specs = assign(specs, exported.shared, builder)
        models = {*folders, *(spec.name for spec in specs)}
        beside = exported.beside - {f"{name}/" for name in models} | out_of_reach
        return cls(staging, exported.commit, specs, beside, others)

    def entries(
        self,
        results: Mapping[ModelName, CheckResult],
        current: Release | None,
        release_id: str,
        *,
        keep_previous: bool,
    ) -> list[ModelEntry]:
        """Return the entries of the new release, whose files are in place then.

        Raises StorageFailed.
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
                with storage():
                    kept_models.keep(before, current, self.staging)
            found.append(entry)
        with storage():
            kept_models.remove_unused(found, self.staging)
        return found
