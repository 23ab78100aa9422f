"""The check of what is new in an update, beside what serves already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

from modelsync.models.check.checker import check
from modelsync.models.types import CheckResult, ModelEntry, ModelName, ModelSpec
from modelsync.releases import answers
from modelsync.releases.store import Release
from modelsync.settings import child_environment
from modelsync.sync.plan import known_results, report_places


def results_of(
    specs: Sequence[ModelSpec],
    current: Release | None,
    checked: Mapping[ModelName, ModelEntry],
    *,
    beside: Set[str],
    timeout: float,
) -> dict[ModelName, CheckResult]:
    """Return a result for each model, by name.

    A version that serves already in the release `current` is not checked again, if it is among
    those `checked` in the same environment. Its answers of then are compared with those that it
    gives beside the new ones. `beside`, `timeout`: see `checker.check`.
    """
    results = known_results(specs, checked)
    unchecked = [spec for spec in specs if spec.name not in results]
    if current:
        versions = {name: result.version for name, result in results.items()}
        kept = answers.read(current.path, versions)
        results = {
            name: replace(result, answers=kept.get(name)) for name, result in results.items()
        }
    served = [
        (spec, results[spec.name])
        for spec in specs
        if spec.name in results and results[spec.name].ok
    ]
    if unchecked:
        environ = child_environment()
        found = check(unchecked, timeout=timeout, environ=environ, beside=beside, served=served)
        report_places(found)
        results.update((result.name, result) for result in found)
    return results
