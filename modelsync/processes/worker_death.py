"""The death of a worker or a runner: how it ended, and which models are to blame."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelsync.models.isolation.crash_report import (
    crashed_model,
    names_thread,
    waiting_models,
    was_calling,
)

log = logging.getLogger("modelsync.processes.gunicorn_master")


@dataclass(frozen=True, slots=True)
class WorkerDeath:
    """A worker, or the runner of `runner`, that has ended otherwise than in order.

    `guilty`: the model whose code ended it, if that is known. `suspects`: `guilty`, or all models
    that may have ended it; empty if nobody is to blame. `report`: its crash report. `starved`: the
    kernel killed it because memory ran out. `deaf`: the seconds for which it had been silent when
    the master ended it, 0 if it did not.
    """

    pid: int
    status: int
    report: str
    guilty: str | None
    suspects: list[str]
    starved: bool
    deaf: float
    runner: str = ""

    @property
    def blamed(self) -> bool:
        """Whether the suspects are to blame; for a SIGKILL from outside nobody is."""
        return bool(self.suspects) and (self.starved or not _killed(self.status) or self.deaf > 0)

    def log(self) -> None:
        """Log how the worker ended, and which models it was calling."""
        how = how_it_ended(self.status)
        if self.starved:
            said = "was killed by the kernel because memory ran out"
        elif self.deaf:
            said = f"was ended: a model held its interpreter for {self.deaf:.1f} s"
        else:
            said = f"ended: {how}"
        calling = f", while it called {', '.join(self.suspects)}" if self.suspects else ""
        fields = {
            "event": "runner_ended" if self.runner else "worker_ended",
            "how": how,
            "out_of_memory": self.starved,
            "deaf": bool(self.deaf),
            "calling": self.suspects,
            "trace": self.report,
        } | ({"runner": self.runner} if self.runner else {})
        who = f"the runner of {self.runner}," if self.runner else "worker"
        log.error("%s %d %s%s", who, self.pid, said, calling, extra={"fields": fields})


def explain(
    pid: int,
    status: int,
    report: str,
    models: Path,
    in_flight: Callable[[], list[str]],
    *,
    starved: bool,
    deaf: float,
    runner: str = "",
) -> WorkerDeath:
    """Find out who ended a worker or a runner; `in_flight` returns the models that it was calling.

    The thread that the report names decides. If its stack has no code of a model, it called one (an
    artefact, say), or it did not: a thread that a model has left behind may end the worker while
    another model is called, which has no part in it.
    """
    guilty = crashed_model(report, models)
    if guilty:
        suspects = [guilty]
    elif deaf or was_calling(report) or not names_thread(report):
        suspects = in_flight()
    else:
        # A fatal signal may come from a thread in a library, for a model that waits for it.
        suspects = waiting_models(report, models) if os.WIFSIGNALED(status) else []
    return WorkerDeath(pid, status, report, guilty, suspects, starved, deaf, runner)


def _killed(status: int) -> bool:
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def how_it_ended(status: int) -> str:
    """Return the name of the signal, or the exit code, of a status of waitpid(2)."""
    code = os.waitstatus_to_exitcode(status)
    names = {int(one): one.name for one in signal.Signals}  # real-time signals have none
    return names.get(-code, f"signal {-code}") if code < 0 else f"exit code {code}"
