"""The check of what is new in an update, beside what serves already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from modelsync.errors import ArtifactCorrupt
from modelsync.models.check.checker import check
from modelsync.models.serializers import registry
from modelsync.models.types import CheckResult, ModelName, ModelSpec
from modelsync.models.versions import FittedVersion, Mismatch
from modelsync.releases import answers
from modelsync.releases.store import Release
from modelsync.resources import starting
from modelsync.settings import child_environment
from modelsync.sync import reports


def check_new(
    specs: Sequence[ModelSpec],
    known: Mapping[ModelName, CheckResult],
    current: Release | None,
    *,
    beside: Set[str],
    timeout: float,
    pythons: Mapping[str, Path],
    fitted: Mapping[str, FittedVersion] = MappingProxyType({}),
    mismatch: Mismatch = "warn",
) -> dict[ModelName, CheckResult]:
    """Return a result for each model, by name; those that are `known` are not checked again.

    The answers that a known model gave then, kept in the release `current`, are compared with those
    that it gives beside the new ones. `beside`, `timeout`, `pythons`, `fitted`, `mismatch`: see
    `checker.check`. A model whose examples had to wait for a version is checked when it has one.
    """
    usable = {name: version for name, version in fitted.items() if _is_whole(version)}
    results = {
        name: one for name, one in known.items() if not (one.measured.unfitted and name in usable)
    }
    if current:
        kept = answers.read(current.path, {name: one.version for name, one in results.items()})
        results = {name: replace(one, answers=kept.get(name)) for name, one in results.items()}
    served = [(spec, result) for spec in specs if (result := results.get(spec.name)) and result.ok]
    if unchecked := [spec for spec in specs if spec.name not in results]:
        with starting("the check"):
            found = check(
                unchecked,
                timeout=timeout,
                environ=child_environment(),
                beside=beside,
                pythons=pythons,
                served=[(spec, result) for spec, result in served if not spec.environment],
                fitted=usable,
                mismatch=mismatch,
            )
        reports.places(found)
        reports.warnings(found)
        results.update((result.name, result) for result in found)
    return results


def _is_whole(version: FittedVersion) -> bool:
    """Return whether a version's artefact is what was stored: that it is not is no model's fault,
    and the processes that serve it say so.
    """
    try:
        registry.verify(version)
    except ArtifactCorrupt:
        return False
    return True
