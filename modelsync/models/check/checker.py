"""Checks models in child processes, with a time limit for each, so that no model harms another one
or the service.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from modelsync import orphans
from modelsync.models import diagnosis
from modelsync.models.check.check_process import CheckProcess, Progress
from modelsync.models.types import CheckResult, ModelName, ModelSpec


def check(
    specs: Sequence[ModelSpec],
    *,
    timeout: float,
    environ: Mapping[str, str],
    beside: Collection[str] = (),
    pythons: Mapping[str, Path] = MappingProxyType({}),
    served: Sequence[tuple[ModelSpec, CheckResult]] = (),
    on_progress: Progress | None = None,
) -> list[CheckResult]:
    """Load the models and run their examples; return one result for each, in their order.

    `timeout`: seconds for loading one model and running its examples. `environ`: the whole
    environment of the child, so without the service's secrets. `beside`: names beside the models'
    folders (`common/`, `shared.py`), for hints. `pythons`: the Python of each environment, by its
    id; models of one are checked together, by its Python. `served`: models that serve already and
    are not checked again, but beside which the others must be right. `on_progress` is called with
    each result as it comes; the placement may still change. A model that does not end, or that ends
    the process, is broken. No process that a model started outlives this call.
    """
    results: dict[ModelName, CheckResult] = {}

    def record(result: CheckResult) -> None:
        result = replace(result, fault=diagnosis.beside(result.fault, beside))
        results[result.name] = result
        if on_progress:
            on_progress(result)

    for spec in specs:
        if spec.fault:
            record(CheckResult(spec.name, spec.version, spec.fault))
    moved: dict[str, str] = {}
    while waiting := [spec for spec in specs if spec.name not in results]:
        environment = waiting[0].environment
        together = [spec for spec in waiting if spec.environment == environment]
        beside_them = [] if environment else served  # a runner of an environment is apart
        process = CheckProcess(together, timeout, pythons.get(environment), beside_them)
        with orphans.none_left():
            lost = process.run(environ, record)
        for result in lost:
            record(result)
        moved |= process.moved
    return [_moved(results[spec.name], moved.get(spec.name)) for spec in specs]


def _moved(result: CheckResult, reason: str | None) -> CheckResult:
    """Return the result, with a runner as its place if there is a reason."""
    if not reason:
        return result
    return replace(result, placement=replace(result.placement, place="runner", reason=reason))
