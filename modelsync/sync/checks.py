"""The check of what is new in an update, beside what serves already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from pathlib import Path

from modelsync.models.check.checker import check
from modelsync.models.types import CheckResult, ModelName, ModelSpec
from modelsync.releases import answers
from modelsync.releases.store import Release
from modelsync.resources import starting
from modelsync.settings import child_environment
from modelsync.sync.plan import report_places


def check_new(
    specs: Sequence[ModelSpec],
    known: Mapping[ModelName, CheckResult],
    current: Release | None,
    *,
    beside: Set[str],
    timeout: float,
    pythons: Mapping[str, Path],
) -> dict[ModelName, CheckResult]:
    """Return a result for each model, by name; those that are `known` are not checked again.

    The answers that a known model gave then, kept in the release `current`, are compared with those
    that it gives beside the new ones. `beside`, `timeout`, `pythons`: see `checker.check`.
    """
    results = dict(known)
    if current:
        kept = answers.read(current.path, {name: one.version for name, one in known.items()})
        results = {name: replace(one, answers=kept.get(name)) for name, one in known.items()}
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
            )
        report_places(found)
        results.update((result.name, result) for result in found)
    return results
