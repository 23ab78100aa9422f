"""The check process: a zygote, which forks a process for each model, and reports on a pipe.

`checker` starts it as `python -m modelsync.models.check.child JOB EVENTS`: the path of a JSON file
with the models, and the number of the descriptor that takes one JSON line per step. Standard output
belongs to the models. Each model is checked as if alone, in the guards in which it is served. If a
model ends or blocks its process (`os._exit`, a segmentation fault, an endless loop), the zygote
reports that and goes on. The parent detects by the missing lines if the zygote itself has ended.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from modelsync import orphans
from modelsync.errors import ModelBroken
from modelsync.models import results
from modelsync.models.binding import methods
from modelsync.models.check import activity, stored, trials, uncalled
from modelsync.models.check.comparison import BATCH, find_difference
from modelsync.models.check.fork import Fork, ForkChannel, Message, withhold
from modelsync.models.check.model_check import ModelCheck
from modelsync.models.check.placement import Facts, decide, wants_own_thread, without_differences
from modelsync.models.check.replaced import Functions
from modelsync.models.check.together import Neighbour, Together
from modelsync.models.isolation import patches
from modelsync.models.model_warnings import ModelWarning
from modelsync.models.serialization import from_json, to_json
from modelsync.models.types import CheckResult, ModelSpec

GRACE = 0.5
"""Seconds beyond a model's time limit, in which its process still reports where it hangs."""

TRIALS = 0.6
"""Share of a model's time limit that its trials may take."""

MADE_UP = 10.0
"""Seconds that a model without examples may take for its one call, of which little depends."""

ALL = 2
"""Time limits of a model that the check of all models together may take."""


class Zygote:
    """Checks models, each in a fork of this process, which imports the libraries that they need."""

    def __init__(self, timeout: float, trace: TextIO, events: int) -> None:
        self._timeout = timeout
        self._trace = trace
        self._events = events
        self._functions = Functions()
        self._failed: set[str] = set()
        self._good: list[Neighbour] = []

    def together(self, served: Sequence[Neighbour], new: Sequence[Neighbour]) -> dict[str, str]:
        """Check the models that were checked here or elsewhere (`new`) beside those that serve
        already; return which must not run in the workers, with the reason.
        """
        self._report({"together": self._timeout * ALL})
        candidates = [*new, *self._good]
        new = [one for one in candidates if one.result.placement.place != "runner"]
        return Together(self._timeout * ALL).moved(served, new)

    def check(self, spec: ModelSpec, *, more: bool) -> None:
        """Check a model and report the result. `more`: others follow, which may need its
        libraries.
        """
        self._trace.seek(0)
        self._trace.truncate()
        fork = Fork(
            lambda channel: ModelCheck(
                spec, self._timeout, self._functions, self._trace, channel
            ).run(),
            group=True,
        )
        self._report({"started": spec.name, "group": fork.pid})
        deadline = time.monotonic() + self._timeout + GRACE
        first = fork.receive(deadline)
        if first is None:
            in_time = fork.code is not None
            code = fork.end()
            lost = {"code": code, "in_time": in_time, "trace": self._read_trace()}
            self._report({"lost": lost})
            return
        if broken := first.get("broken"):
            fork.end()
            self._report({"finished": broken})
        else:
            second = fork.receive(time.monotonic() + self._timeout * TRIALS)
            result = self._placed(spec, first, second)
            if second and not result.measured.examples and not result.measured.unfitted:
                result = replace(result, warnings=(*result.warnings, *self._called_once(fork)))
            fork.end()
            self._good.append(Neighbour(spec, result))
            self._report({"finished": to_json(result)})
        if more:
            self._import(first["libraries"])

    def _placed(self, spec: ModelSpec, first: Message, second: Message | None) -> CheckResult:
        """Return the result of a model that answers its examples, with its place."""
        result = from_json(CheckResult, first["answered"])
        facts = from_json(Facts, first["facts"])
        if second is None:
            lost = "its process ended, or hung, after it had answered its examples"
            facts = replace(facts, lost=lost)
        else:
            facts = replace(facts, **second["outcomes"])
            if wants_own_thread(facts):
                facts = replace(facts, **self._own_thread(spec, result, second["sequence"]))
                facts = without_differences(facts)
        if facts.fork == "":  # it answers otherwise in each process
            result = replace(result, answers=None)
        return replace(result, placement=decide(facts))

    def _called_once(self, fork: Fork) -> tuple[ModelWarning, ...]:
        """Have a model without examples called once, in the process that has loaded it.

        Whatever comes of it, the model can serve: how it is called in earnest, nobody knows here.
        """
        fork.send({"call": True})
        limit = min(self._timeout, MADE_UP)
        found = fork.receive(time.monotonic() + limit)
        if found is not None:
            return tuple(from_json(ModelWarning, one) for one in found["warnings"])
        hangs = fork.code is None
        how = f"does not answer within {limit:g} s" if hangs else "ends its process"
        return (uncalled.failed(how),)

    def _own_thread(self, spec: ModelSpec, result: CheckResult, sequence: list[Any]) -> Message:
        """Load and call the model in a thread of a new fork; return what comes of it."""
        fork = Fork(lambda channel: _load_and_call_in_thread(spec, result, channel), group=True)
        found = fork.receive(time.monotonic() + self._timeout)
        hangs = fork.code is None
        fork.end()
        if found is None:
            return {"own_thread": "it does not answer" if hangs else "it ends its process"}
        repeats = bool(sequence) and not find_difference(sequence[0], found["sequence"], BATCH)
        return {"own_thread": found["outcome"], "own_thread_repeats": repeats}

    def _import(self, libraries: Sequence[str]) -> None:
        """Import libraries here, so that the forks of the models that follow have them at once.

        A model has imported them already without harm. Importing alone starts no thread that their
        functions need: those start with the first calculation, which no code does here.
        """
        wanted = [name for name in libraries if name not in sys.modules]
        wanted = [name for name in wanted if name not in self._failed]
        if not wanted:
            return
        for name in wanted:
            try:
                importlib.import_module(name)
            except Exception:  # noqa: BLE001  it is imported again by the model that needs it
                self._failed.add(name)
        self._functions.note()
        _freeze()

    def report_end(self, moved: dict[str, str]) -> None:
        """Report that all is done; `moved`: the models that get a runner, with the reason."""
        self._report({"done": True, "moved": moved})

    def _read_trace(self) -> str:
        return Path(self._trace.name).read_text("utf-8", "replace")

    def _report(self, step: dict[str, Any]) -> None:
        os.write(self._events, json.dumps(step).encode() + b"\n")


def _freeze() -> None:
    """Have the collector leave all objects of now alone, so that the forks share their memory."""
    gc.collect()
    gc.freeze()


def _warm_up() -> None:
    """Import what the first model that is loaded imports, so that not every fork does."""

    def sample(x: int = 0, rows: list[dict[str, float]] | None = None) -> None: ...

    with suppress(Exception):  # whatever is wrong here, the models' own faults will tell
        methods.caller(sample, methods.form_of(sample, dataframe=False))({"x": 1})
        results.dump({})


def _load_and_call_in_thread(spec: ModelSpec, result: CheckResult, channel: ForkChannel) -> None:
    """In a fork: load and call the model as a worker does with one that has a thread of its own."""
    found: list[Message] = []
    answers = result.answers
    slow = (result.measured.call_seconds or 0.0) > trials.SLOW

    def run() -> None:
        """Add to `found` what comes of it: the outcome, and the sequence of a model that varies."""
        try:
            model = stored.load(spec)
        except ModelBroken as error:
            found.append({"outcome": f"it does not load: {error.fault}", "sequence": None})
            return
        expected = list(answers or [None] * len(model.examples))
        order = {"answers": expected[: 1 if slow else None], "steady": answers is not None}
        try:
            trials.begin(model)
            # First, so that it begins like that of a fork which has made no other call.
            first = trials.sequence(model) if answers is None and result.measured.examples else None
            outcome = trials.examine(model, order, model.context)
        except BaseException as error:  # noqa: BLE001  model code
            found.append({"outcome": trials.failure(model, error), "sequence": None})
            return
        found.append({"outcome": outcome, "sequence": first})

    thread = threading.Thread(target=run, name="modelsync-check")
    thread.start()
    thread.join()
    channel.send(found[0])


def main(job: Path, events: int) -> None:
    """Check all models of a job.

    Ends the process without waiting for threads that models may have left.
    """
    content = json.loads(job.read_bytes())
    orphans.end_with_parent(signal.SIGKILL, content["parent"])
    withhold(events)
    trace = Path(content["trace"]).open("w", encoding="utf-8")  # noqa: SIM115 - open until the process ends
    faulthandler.enable(trace)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash is reported; its core is not needed
    _warm_up()
    patches.install()
    activity.install()
    _freeze()
    stored.know(content["fitted"])
    zygote = Zygote(content["timeout"], trace, events)
    specs = [from_json(ModelSpec, values) for values in content["models"]]
    served, new = _neighbours(content["served"]), _neighbours(content["new"])
    for number, spec in enumerate(specs, 1):
        zygote.check(spec, more=number < len(specs) or bool(served))
    zygote.report_end(zygote.together(served, new) if content["together"] else {})
    os._exit(0)


def _neighbours(checked: Sequence[dict[str, Any]]) -> list[Neighbour]:
    return [
        Neighbour(from_json(ModelSpec, one["spec"]), from_json(CheckResult, one["result"]))
        for one in checked
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
