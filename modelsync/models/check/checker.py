"""Checks models in child processes, with a time limit for each, so that no model harms another one
or the service.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from modelsync import orphans
from modelsync.models import hints
from modelsync.models.check.check_process import Checked, CheckProcess, Progress
from modelsync.models.discovery import training_plan
from modelsync.models.loading import library_versions
from modelsync.models.model_warnings import ModelWarning
from modelsync.models.types import CheckResult, ModelName, ModelSpec
from modelsync.models.versions import FittedVersion, Mismatch

MODELS_OF_A_PROCESS = 10
"""Models from which on one more check process is worth its start."""

MOST_PROCESSES = 4
"""Check processes side by side; each imports the libraries of its models."""


def check(
    specs: Sequence[ModelSpec],
    *,
    timeout: float,
    environ: Mapping[str, str],
    beside: Collection[str] = (),
    pythons: Mapping[str, Path] = MappingProxyType({}),
    served: Sequence[Checked] = (),
    fitted: Mapping[str, FittedVersion] = MappingProxyType({}),
    mismatch: Mismatch = "warn",
    on_progress: Progress | None = None,
) -> list[CheckResult]:
    """Load the models and run their examples; return one result for each, in their order.

    `timeout`: seconds for loading one model and running its examples. `environ`: the whole
    environment of the child, so without the service's secrets. `beside`: names beside the models'
    folders (`common/`, `shared.py`), for hints. `pythons`: the Python of each environment, by its
    id; models of one are checked together, by its Python. `served`: models that serve already and
    are not checked again, but beside which the others must be right. `fitted`: the versions with
    which trained models serve, by model. `mismatch`: whether a model that was fitted with other
    libraries is broken. `on_progress` is called with
    each result as it comes; the placement may still change. A model that does not end, or that ends
    the process, is broken. No process that a model started outlives this call.
    """
    checks = _Checks(timeout, environ, beside, pythons, fitted, mismatch, on_progress)
    for spec in specs:
        if spec.fault:
            checks.record(CheckResult(spec.name, spec.version, spec.fault))
    while waiting := [spec for spec in specs if spec.name not in checks.results]:
        environment = waiting[0].environment
        checks.run([spec for spec in waiting if spec.environment == environment], served)
    checks.finish(specs, served)
    return [
        _warned(spec, _moved(checks.results[spec.name], checks.moved.get(spec.name)))
        for spec in specs
    ]


@dataclass(slots=True)
class _Checks:
    """The check processes of one call of `check`, and what they have found so far.

    `parts`: how many processes have checked models that share the workers.
    """

    timeout: float
    environ: Mapping[str, str]
    beside: Collection[str]
    pythons: Mapping[str, Path]
    fitted: Mapping[str, FittedVersion]
    mismatch: Mismatch
    on_progress: Progress | None
    results: dict[ModelName, CheckResult] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    parts: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, result: CheckResult) -> None:
        """Keep a result and report it; called in any thread."""
        fault = result.fault or library_versions.refused(result.warnings, self.mismatch)
        result = replace(result, fault=hints.beside(fault, self.beside))
        with self._lock:
            self.results[result.name] = result
            if self.on_progress:
                self.on_progress(result)

    def run(self, specs: Sequence[ModelSpec], served: Sequence[Checked]) -> None:
        """Check models of one environment; many of them in as many processes as there are cores.

        Models of which a process has ended before their turn have no result yet.
        """
        environment = specs[0].environment
        served = () if environment else served  # a runner of an environment is apart
        count = min(os.cpu_count() or 1, MOST_PROCESSES, 1 + len(specs) // MODELS_OF_A_PROCESS)
        if not environment:
            self.parts += count
        processes = [
            CheckProcess(
                specs[part::count],
                self.timeout,
                self.pythons.get(environment),
                served,
                together=self.parts == 1,
                fitted=self.fitted,
            )
            for part in range(count)
        ]
        self._run(processes)

    def finish(self, specs: Sequence[ModelSpec], served: Sequence[Checked]) -> None:
        """Check models beside each other that several processes have checked."""
        new = [(spec, self.results[spec.name]) for spec in specs if not spec.environment]
        new = [(spec, result) for spec, result in new if result.ok]
        if self.parts > 1 and new:
            self._run([CheckProcess([], self.timeout, None, served, new, fitted=self.fitted)])

    def _run(self, processes: Sequence[CheckProcess]) -> None:
        """Run check processes side by side."""
        with orphans.none_left(), ThreadPoolExecutor(len(processes)) as threads:
            try:
                for lost in threads.map(lambda one: one.run(self.environ, self.record), processes):
                    for result in lost:
                        self.record(result)
            except BaseException:  # an interrupt: nobody waits for models that hang
                for process in processes:
                    process.stopped = True
                raise
        for process in processes:
            self.moved |= process.moved


def _warned(spec: ModelSpec, result: CheckResult) -> CheckResult:
    """Return the result, with what its source says of training that will not be done."""
    if not (result.ok and spec.trainable):
        return result
    found = training_plan.read(spec)[1]
    more = tuple(ModelWarning("training", text) for text in found)
    return replace(result, warnings=(*result.warnings, *more))


def _moved(result: CheckResult, reason: str | None) -> CheckResult:
    """Return the result, with a runner as its place if there is a reason."""
    if not reason:
        return result
    return replace(result, placement=replace(result.placement, place="runner", reason=reason))
