"""The check process: checks models one after another, and reports each step on a pipe of its own.

`checker` starts it as `python -m modelsync.models.check.child JOB EVENTS`: the path of a JSON file
with the models, and the number of the descriptor that takes one JSON line per step. Standard output
belongs to the models. If they end or block this process (`os._exit`, a segmentation fault, an
endless loop), the parent detects it by the missing lines.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import orjson

from modelsync.models.check.model_check import check_model
from modelsync.models.isolation import patches
from modelsync.models.serialization import from_json, to_json
from modelsync.models.types import ModelSpec

_PID = os.getpid()
PR_SET_PDEATHSIG = 1  # of prctl(2)


def main(job: Path, events: int) -> None:
    """Check all models of a job.

    Ends the process without waiting for threads that models may have left.
    """
    _die_with_parent()
    content = orjson.loads(job.read_bytes())
    timeout: float = content["timeout"]
    trace = Path(content["trace"]).open("w", encoding="utf-8")  # noqa: SIM115 - open until the process ends
    faulthandler.enable(trace)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash is reported; its core is not needed
    patches.install()
    for values in content["models"]:
        spec = from_json(ModelSpec, values)
        trace.seek(0)
        trace.truncate()
        _report(events, {"started": spec.name})
        # The parent, which ends this process, reads there in which line the model hangs.
        faulthandler.dump_traceback_later(timeout, file=trace)
        result = check_model(spec, timeout)
        faulthandler.cancel_dump_traceback_later()
        _report(events, {"finished": to_json(result)})
    os._exit(0)


def _report(events: int, step: dict[str, Any]) -> None:
    if os.getpid() != _PID:  # a model has forked, and its child process has returned to here
        os._exit(0)
    os.write(events, orjson.dumps(step, option=orjson.OPT_APPEND_NEWLINE))


def _die_with_parent() -> None:
    """Have Linux kill this process with its parent: nothing else would end a model that hangs."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
