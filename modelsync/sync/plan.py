"""Plans a new release: the models to check, the entry of each model, violations of the policy.

Nothing here reads a disk or runs a model: the same arguments give the same plan.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from modelsync.errors import CheckFailed, ProbationFailed, ReleaseRejected
from modelsync.models.model_warnings import PassedOver
from modelsync.models.types import (
    CheckResult,
    Fault,
    ModelEntry,
    ModelName,
    ModelSpec,
    TreeHash,
)
from modelsync.releases.store import Release
from modelsync.settings import Revision, Settings
from modelsync.sync.status import Status


def satisfied(current: Release, status: Status) -> set[tuple[str, str]]:
    """Return the pairs of commit and environment for which `current` is the wanted release.

    The status counts only if it names this release: after a crash it may be an older one.
    """
    pairs = {(current.commit, current.environment)}
    if status.release == current.id:
        pairs.add((status.served_commit, status.environment))
    return pairs


def with_problems(
    root: Path, specs: Sequence[ModelSpec], problems: Mapping[str, tuple[Fault, ...]]
) -> list[ModelSpec]:
    """Return the models, with the problem that the export found in a folder as its fault.

    An unsafe object in the place of a folder (a link, a submodule, a name that is no text) becomes
    a model that is refused, so that the list of models names it.
    """
    found = [
        replace(spec, fault=problems[spec.name][0]) if problems.get(spec.name) else spec
        for spec in specs
    ]
    others = sorted(problems.keys() - {spec.name for spec in specs})
    return found + [
        ModelSpec(
            ModelName(name),
            root / name,
            TreeHash(""),
            fault=replace(problems[name][0], stage="name"),
        )
        for name in others
        if problems[name]
    ]


def without_shared(
    specs: Sequence[ModelSpec], lacking: Mapping[str, tuple[Fault, ...]]
) -> list[ModelSpec]:
    """Return the models, with a fault where shared files that they use are `lacking`, by the name
    of the folder with these files.
    """
    return [
        replace(spec, fault=lacking[spec.shared.name][0])
        if spec.shared and not spec.fault and spec.shared.name in lacking
        else spec
        for spec in specs
    ]


def known_results(
    specs: Sequence[ModelSpec],
    checked: Mapping[ModelName, ModelEntry],
    unfit: Mapping[tuple[ModelName, TreeHash], Fault],
) -> dict[ModelName, CheckResult]:
    """Return the results that need no check, by name.

    A model that cannot be loaded has its fault already. A version that serves, and is among those
    that were `checked` in the same environment, keeps its result. Versions that are `unfit` are not
    to be tried now.
    """
    results: dict[ModelName, CheckResult] = {}
    for spec in specs:
        entry = checked.get(spec.name)
        if spec.fault:
            results[spec.name] = CheckResult(spec.name, spec.version, spec.fault)
        elif entry and entry.state == "ready" and _is_same(entry, spec):
            results[spec.name] = CheckResult(
                spec.name,
                spec.version,
                measured=entry.measured,
                placement=entry.placement,
                warnings=entry.warnings,
                response=entry.response,
                compilation=entry.compilation,
            )
        elif fault := unfit.get((spec.name, spec.version)):
            results[spec.name] = CheckResult(spec.name, spec.version, fault)
    return results


def _is_same(entry: ModelEntry, spec: ModelSpec) -> bool:
    return (entry.version, entry.spec.environment) == (spec.version, spec.environment)


def decide(
    spec: ModelSpec,
    result: CheckResult,
    before: ModelEntry | None,
    *,
    keep_previous: bool,
    release_id: str,
) -> ModelEntry:
    """Return the entry of a model in the new release.

    That is its new version; or if it is broken and `keep_previous`, the version that serves
    `before`, marked as stale; or the reason for neither.
    """
    if not result.ok and keep_previous and before and before.version:
        return replace(before, state="stale", wanted_version=spec.version, fault=result.fault)
    shared = Path("shared", spec.shared.name) if spec.shared else None
    compiled = Path("compiled", spec.compiled.name) if spec.compiled else None
    return ModelEntry.of(
        replace(spec, shared=shared, compiled=compiled),
        Path("models_serve", spec.name),
        fault=result.fault,
        release=before.release if before and before.version == spec.version else release_id,
        measured=result.measured,
        placement=result.placement,
        warnings=result.warnings,
        response=result.response,
        compilation=result.compilation,
    )


def apply_policy(entries: Sequence[ModelEntry], settings: Settings) -> None:
    """Raise ProbationFailed, ReleaseRejected or CheckFailed if the settings forbid what is
    broken.
    """
    if settings.git.on_probation:
        reject_newly_broken(entries, settings.git.revision)
    if settings.sync.on_broken_model == "reject":
        reject_broken(entries)


def reject_broken(entries: Sequence[ModelEntry]) -> None:
    """Raise ReleaseRejected if any model is broken; CheckFailed if all may work later."""
    if faults := {entry.name: entry.fault for entry in entries if entry.fault}:
        lasting = not all(fault.transient for fault in faults.values())
        message = "; ".join(f"{name}: {fault}" for name, fault in faults.items())
        raise ReleaseRejected(message) if lasting else CheckFailed(message)


def reject_newly_broken(entries: Sequence[ModelEntry], revision: Revision) -> None:
    """Raise ProbationFailed if a model is broken that was good when `modelsync rollout` checked
    the commit; CheckFailed if all of these may work later.

    Then the pod stays unready, and the earlier pods, in which the model may be good, continue to
    serve.
    """
    faults = {
        entry.name: entry.fault
        for entry in entries
        if entry.fault and entry.name not in revision.broken
    }
    if faults:
        broken = "; ".join(f"{name}: {fault}" for name, fault in faults.items())
        message = f"good when the rollout checked it, broken here: {broken}"
        lasting = not all(fault.transient for fault in faults.values())
        raise ProbationFailed(message) if lasting else CheckFailed(message)


def is_unchanged(
    entries: Sequence[ModelEntry], current: Release, others: tuple[PassedOver, ...] = ()
) -> bool:
    """Return whether these models would serve and report the same as the current release.

    `others`: what would be passed over.

    Two faults that may pass count as the same: their messages often hold a time or an address.
    """

    def visible(entry: ModelEntry) -> tuple[object, ...]:
        fault = entry.fault
        return (
            entry.name,
            entry.state,
            entry.version,
            entry.wanted_version,
            fault.stage if fault and fault.transient else fault,
            entry.placement,
            entry.warnings,
            entry.spec.environment,
            entry.compilation,
        )

    same = set(map(visible, entries)) == set(map(visible, current.models.values()))
    return same and others == current.passed_over


def to_be_tried_again(release: Release) -> list[ModelName]:
    """Return the models of a release that are broken for a reason that may pass, by name."""
    return sorted(
        name for name, entry in release.models.items() if entry.fault and entry.fault.transient
    )
