"""Loads and calls all models of the workers in one process, as they will be served.

Two models that are right alone may not be right together: a metric that both register, a variable
that both set. The one that is new then gets a runner; those that serve already stay. All runs are
in forks of the check process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from modelsync.errors import ModelBroken
from modelsync.models.check import stored, trials
from modelsync.models.check.fork import Fork, ForkChannel, Message
from modelsync.models.types import CheckResult, LoadedModel, ModelSpec

PATIENCE = 5.0
"""Seconds that a model may take at least to load and to answer."""

SLOW = 0.5
"""Seconds of a call from which on a model is loaded but not called."""


class Neighbour(NamedTuple):
    """A model that answers its examples alone."""

    spec: ModelSpec
    result: CheckResult


@dataclass(slots=True)
class Together:
    """The check of all models that share the workers. `seconds`: for all of it."""

    seconds: float
    deadline: float = 0.0

    def moved(self, served: Sequence[Neighbour], new: Sequence[Neighbour]) -> dict[str, str]:
        """Return the `new` models that must not run beside the others, with the reason."""
        if not new or len(served) + len(new) < 2:
            return {}
        self.deadline = time.monotonic() + self.seconds
        if not self._problems([*served, *new]):
            return {}
        # What goes wrong without the new models is not their fault.
        ignored = set(self._problems(served))
        moved: dict[str, str] = {}
        self._settle([one for one in served if one.spec.name not in ignored], list(new), moved)
        return moved

    def _settle(
        self, accepted: list[Neighbour], new: list[Neighbour], moved: dict[str, str]
    ) -> None:
        """Add those of `new` that do no harm to `accepted`, the others to `moved`, by halves."""
        problems = self._problems([*accepted, *new])
        if not problems or not new or time.monotonic() > self.deadline:
            accepted += new
        elif len(new) == 1:
            [one] = new
            if problems.keys() == {one.spec.name} and self._problems(new):
                return  # it does not answer alike alone either: the others are not the reason
            moved[one.spec.name] = _reason(one.spec.name, problems)
        else:
            half = len(new) // 2
            self._settle(accepted, new[:half], moved)
            self._settle(accepted, new[half:], moved)

    def _problems(self, models: Sequence[Neighbour]) -> dict[str, str]:
        """Load and call models in a fork; return what goes wrong, by their names."""
        problems: dict[str, str] = {}
        fork = Fork(lambda channel: _run(models, channel), group=True)
        current = ""
        while (left := self.deadline - time.monotonic()) > 0 and models:
            patience = PATIENCE + 4 * max(_seconds(one) for one in models)
            message = fork.receive(time.monotonic() + min(left, patience))
            if message is None:
                if current:
                    hangs = fork.code is None
                    problems[current] = "it does not answer" if hangs else "it ends the process"
                break
            if "done" in message:
                break
            current = message.get("model", current)
            problems |= message.get("problems", {})
        fork.end()
        return problems


def _reason(name: str, problems: dict[str, str]) -> str:
    if name in problems:
        return f"beside the other models {problems[name]}"
    other, what = next(iter(problems.items()))
    return f"beside it, the model {other} is another: {what}"


def _seconds(one: Neighbour) -> float:
    measured = one.result.measured
    return (measured.load_seconds or 0.0) + measured.examples * (measured.call_seconds or 0.0)


def _run(models: Sequence[Neighbour], channel: ForkChannel) -> None:
    """In a fork: load those of the workers, then call all in another fork, as a worker does."""
    loaded: list[tuple[Neighbour, LoadedModel]] = []
    for one in models:
        if one.result.placement.place == "worker":
            channel.send({"model": one.spec.name})
            try:
                loaded.append((one, stored.load(one.spec)))
            except ModelBroken as error:
                problem = f"it does not load: {error.fault}"[: trials.MAX_REASON]
                channel.send({"problems": {one.spec.name: problem}})
    threaded = [one for one in models if one.result.placement.place == "thread"]
    worker = Fork(lambda inner: _work(loaded, threaded, inner))
    while message := worker.receive(time.monotonic() + 3600):  # the caller has the deadline
        channel.send(message)
        if "done" in message:
            return


def _work(
    loaded: Sequence[tuple[Neighbour, LoadedModel]],
    threaded: Sequence[Neighbour],
    channel: ForkChannel,
) -> None:
    """In a fork of the fork, which is like a worker: call all models."""
    for one, model in loaded:
        channel.send({"model": one.spec.name})
        _report(channel, one, _call(one, model))
    for one in threaded:
        channel.send({"model": one.spec.name})
        _report(channel, one, _load_and_call(one))
    channel.send({"done": True})


def _report(channel: ForkChannel, one: Neighbour, outcome: str) -> None:
    if outcome:
        channel.send({"problems": {one.spec.name: outcome}})


def _call(one: Neighbour, model: LoadedModel, *, in_thread: bool = False) -> str:
    """Answer the examples and compare; return what went wrong, empty if nothing did."""
    measured = one.result.measured
    if (measured.call_seconds or 0.0) > SLOW or (model.is_async and model.start):
        return ""
    answers: Sequence[Any] | None = one.result.answers
    order: Message = {
        "answers": answers or [None] * len(model.examples),
        "steady": answers is not None,
    }
    try:
        trials.begin(model)
    except ModelBroken as error:
        return f"it does not start: {error.fault}"[: trials.MAX_REASON]
    if in_thread or model.is_async:
        return trials.examine(model, order, model.context)
    step = "hidden" if one.result.placement.hide_loop else "loop"
    return trials.STEPS[step](model, order)


def _load_and_call(one: Neighbour) -> str:
    """Load and call a model in a thread of its own."""
    found: list[str] = []

    def run() -> None:
        try:
            found.append(_call(one, stored.load(one.spec), in_thread=True))
        except ModelBroken as error:
            found.append(f"it does not load: {error.fault}"[: trials.MAX_REASON])

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return found[0] if found else "its thread ended"
