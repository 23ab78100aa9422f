"""Compiles models in child processes, with a time limit for each and one for all, so that no
compiler harms another model or the service.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from modelsync import orphans
from modelsync.models.compilation import Compilation, too_late
from modelsync.models.compiling.compile_process import CompileProcess, CompileTask
from modelsync.models.types import ModelName

MODELS_OF_A_PROCESS = 10
"""Models from which on one more compile process is worth its start."""

MOST_PROCESSES = 4
"""Compile processes side by side; each imports the libraries of its models."""

ATTEMPTS = 2
"""How often a process is started for models that have no part in its end."""


@dataclass(frozen=True, slots=True)
class Limits:
    """`each`: seconds for one model; `total`: seconds for all of them. `tolerance`: the largest
    relative difference of a number with which a compiled form serves.
    """

    each: float
    total: float
    tolerance: float


def compile_all(
    tasks: Sequence[CompileTask],
    limits: Limits,
    environ: Mapping[str, str],
    *,
    pythons: Mapping[str, Path] = MappingProxyType({}),
    on_progress: Callable[[CompileTask, Compilation], None] | None = None,
) -> dict[ModelName, Compilation]:
    """Compile models, the smallest files first; return what came of each, by name.

    What was not done in time is `late`. `environ`: the whole environment of the processes, so
    without the service's secrets. `pythons`: the Python of each environment, by its id.
    `on_progress` is called with each result as it comes, in any thread. No process that it has
    started outlives this call. Raises OSError if a process cannot be started.
    """
    work = _Work(limits, environ, pythons, on_progress, time.monotonic() + limits.total)
    waiting = sorted(tasks, key=_size)
    for environment in dict.fromkeys(task.spec.environment for task in waiting):
        work.run([task for task in waiting if task.spec.environment == environment])
    return {task.spec.name: work.results.get(task.spec.name, _late(limits)) for task in tasks}


@dataclass(slots=True)
class _Work:
    limits: Limits
    environ: Mapping[str, str]
    pythons: Mapping[str, Path]
    on_progress: Callable[[CompileTask, Compilation], None] | None
    end: float
    results: dict[ModelName, Compilation] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def record(self, task: CompileTask, compilation: Compilation) -> None:
        """Keep a result and report it."""
        with self._lock:
            self.results[task.spec.name] = compilation
            if self.on_progress:
                self.on_progress(task, compilation)

    def run(self, tasks: Sequence[CompileTask]) -> None:
        """Compile models of one environment; many in as many processes as there are cores."""
        environment = tasks[0].spec.environment
        for _ in range(ATTEMPTS):
            count = min(os.cpu_count() or 1, MOST_PROCESSES, 1 + len(tasks) // MODELS_OF_A_PROCESS)
            processes = [
                CompileProcess(
                    tasks[part::count],
                    self.limits.each,
                    self.limits.tolerance,
                    self.pythons.get(environment),
                    processes=count,
                )
                for part in range(count)
            ]
            self._run(processes)
            for process in processes:
                self._blame(process)
            tasks = [task for task in tasks if task.spec.name not in self.results]
            if not tasks or time.monotonic() >= self.end:
                return
        for task in tasks:
            self.record(task, Compilation("refused", "the compile process does not start"))

    def _blame(self, process: CompileProcess) -> None:
        """Record the model whose compilation has ended the whole process, if one has."""
        if process.started and process.unfinished and time.monotonic() < self.end:
            reason = "the compiler ended the compile process"
            self.record(process.unfinished[0], Compilation("refused", reason))

    def _run(self, processes: Sequence[CompileProcess]) -> None:
        with orphans.none_left(), ThreadPoolExecutor(len(processes)) as threads:
            try:
                for _ in threads.map(
                    lambda one: one.run(self.environ, self.end, self.record), processes
                ):
                    pass
            except BaseException:  # an interrupt: nobody waits for compilers that hang
                for process in processes:
                    process.stopped = True
                raise


def _size(task: CompileTask) -> int:
    """Return the size of a model's file, in bytes; 0 of a class."""
    try:
        return (task.spec.path / task.spec.artefact).stat().st_size if task.spec.artefact else 0
    except OSError:
        return 0


def _late(limits: Limits) -> Compilation:
    return too_late(limits.total)
