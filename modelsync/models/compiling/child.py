"""The compile process: a zygote, which forks a process for each model, and reports on a pipe.

`compile_process` starts it as `python -m modelsync.models.compiling.child JOB EVENTS`: the path of
a JSON file with the tasks, and the number of the descriptor that takes one JSON line per step. A
compiler that crashes, hangs or takes all memory ends the fork of its model alone. The libraries
that one model has needed are imported here, so that the forks of the others have them at once.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from modelsync import orphans
from modelsync.models.check.fork import Fork, ForkChannel, Message, withhold
from modelsync.models.compilation import Compilation, too_late
from modelsync.models.compiling import model_compilation
from modelsync.models.compiling.memory import limit_memory
from modelsync.models.isolation import patches
from modelsync.models.serialization import from_json, to_json
from modelsync.models.types import ModelSpec
from modelsync.oom import prefer_as_oom_victim

HEAVY = (
    "numpy", "scipy", "pandas", "sklearn", "joblib", "skops", "lightgbm", "xgboost", "onnx",
    "onnxruntime", "onnxmltools", "skl2onnx",
)  # fmt: skip
"""Libraries that take long to import, and start no thread by it that their functions need."""


class CompileZygote:
    """Compiles models, each in a fork of this process, which imports the libraries they need."""

    def __init__(self, timeout: float, tolerance: float, events: int) -> None:
        self._timeout = timeout
        self._tolerance = tolerance
        self._events = events
        self._failed: set[str] = set()

    def compile(self, spec: ModelSpec, folder: Path, *, more: bool) -> None:
        """Compile a model into a folder and report what comes of it. `more`: others follow."""

        def job(channel: ForkChannel) -> None:
            found = model_compilation.compile_model(spec, folder, self._tolerance)
            channel.send({"compilation": to_json(found), "libraries": _imported()})

        started = time.monotonic()
        fork = Fork(job, group=True)
        self._report({"started": spec.name, "group": fork.pid})
        found = fork.receive(started + self._timeout)
        in_time = found is not None or fork.code is not None
        code = fork.end()
        if found is None:
            lost = _lost(code, self._timeout, in_time=in_time)
            found = {"compilation": to_json(lost), "libraries": []}
        found["compilation"]["seconds"] = round(time.monotonic() - started, 3)
        self._report({"finished": found["compilation"]})
        if more:
            self._import(found["libraries"])

    def _import(self, libraries: Sequence[str]) -> None:
        wanted = [one for one in libraries if one not in sys.modules and one not in self._failed]
        for name in wanted:
            try:
                importlib.import_module(name)
            except Exception:  # noqa: BLE001  it is imported again by the model that needs it
                self._failed.add(name)
        if wanted:
            gc.collect()
            gc.freeze()

    def _report(self, step: Message) -> None:
        os.write(self._events, json.dumps(step).encode() + b"\n")


def _imported() -> list[str]:
    return [name for name in HEAVY if name in sys.modules]


def _lost(code: int, timeout: float, *, in_time: bool) -> Compilation:
    """Return what came of a model whose fork has said nothing."""
    if not in_time:
        return too_late(timeout)
    if code == -signal.SIGKILL:
        # Not for what the model is: it is tried again, and no other pod is told.
        return Compilation("late", "the compiler was killed, perhaps because memory ran out")
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return Compilation("refused", f"the compiler ended its process with {how}")


def main(job: Path, events: int) -> None:
    """Compile all models of a job, and end the process without any clean-up."""
    content = json.loads(job.read_bytes())
    orphans.end_with_parent(signal.SIGKILL, content["parent"])
    withhold(events)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    prefer_as_oom_victim()
    limit_memory(content["processes"])
    patches.install()
    zygote = CompileZygote(content["timeout"], content["tolerance"], events)
    tasks = content["tasks"]
    for number, task in enumerate(tasks, 1):
        spec = from_json(ModelSpec, task["spec"])
        zygote.compile(spec, Path(task["folder"]), more=number < len(tasks))
    os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
