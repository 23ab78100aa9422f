"""Calls a loaded model in the ways of a worker: after a fork, in the loop, in threads, at once.

The process that loads a model forks a `Template` at once, before any call, as the master forks its
workers. It waits until the examples have been answered, and forks one process after another for the
trials. One that hangs or ends costs only that trial.
"""

from __future__ import annotations

import asyncio
import copy
import json
import sys
import threading
import time
from collections.abc import Callable
from contextvars import Context
from typing import Any

from modelsync.errors import NotFitted
from modelsync.models import results
from modelsync.models.check.answering import answer
from modelsync.models.check.baseline import Baseline
from modelsync.models.check.comparison import BATCH, find_difference
from modelsync.models.check.fork import Fork, ForkChannel, Message
from modelsync.models.check.placement import DIFFERS, is_difference
from modelsync.models.diagnosis import plain
from modelsync.models.isolation import event_loops, random_numbers
from modelsync.models.isolation.shared_settings import SharedSettings
from modelsync.models.loading import lifecycle
from modelsync.models.types import LoadedModel

PATIENCE = 2.0
"""Seconds that a trial may take at least, before it counts as one that hangs."""

AT_ONCE_CALLS = 4
"""Calls of each of the two threads that call at once."""

SLOW = 0.5
"""Seconds of a call from which on only the first example is tried, and each once."""

MAX_REASON = 160
"""Characters of what went wrong that a reason shows."""


class Template:
    """A fork of the process that has loaded a model, which has not called it yet."""

    def __init__(self, model: LoadedModel, settings: SharedSettings) -> None:
        self._fork = Fork(lambda channel: _wait(model, settings, channel))

    def run(
        self, baseline: Baseline, steps: list[str], seconds: float, *, fragile: bool
    ) -> Message:
        """Make the trials within `seconds`; return the outcome of each, and `sequences`.

        `fragile`: threads of libraries have not survived the fork.
        """
        slow = baseline.first_seconds > SLOW
        self._fork.send(
            {
                "steps": steps,
                "answers": baseline.answers[: 1 if slow else None],
                "steady": baseline.is_steady is True,
                "varies": baseline.is_steady is False,
                "fragile": fragile,
                "calls": 1 if slow else AT_ONCE_CALLS,
                "patience": max(PATIENCE, 8 * baseline.first_seconds),
                "seconds": seconds,
            }
        )
        found = self._fork.receive(time.monotonic() + seconds + PATIENCE)
        return found or {}

    def close(self) -> None:
        """End the fork."""
        self._fork.end()


def _wait(model: LoadedModel, settings: SharedSettings, channel: ForkChannel) -> None:
    """In the template: wait for the order to begin, then make the trials."""
    if order := channel.receive():
        settings.restore(mild_only=True)
        channel.send(_try(model, order))


def _try(model: LoadedModel, order: Message) -> Message:
    """Make the trials, each in a fork until one of them fails; return the outcomes."""
    outcomes: Message = {}
    deadline = time.monotonic() + order["seconds"]
    waiting: list[str] = list(order["steps"])
    while waiting and time.monotonic() < deadline and not outcomes.get("thread"):
        outcomes |= _try_some(model, order, waiting, deadline)
        if waiting and outcomes.get("loop") and "hidden" not in outcomes:
            waiting.insert(0, "hidden")
    if any(map(is_difference, outcomes.values())):  # perhaps the fork alone makes it
        outcomes |= _try_some(model, order, ["fork"], deadline)
    if order["varies"] and time.monotonic() < deadline:
        outcomes["sequences"] = [_sequence_of_fork(model, order) for _ in range(2)]
    return outcomes


def _try_some(
    model: LoadedModel, order: Message, waiting: list[str], deadline: float
) -> dict[str, str]:
    """Make trials in one fork, until one fails; take those that were made out of `waiting`."""
    outcomes: dict[str, str] = {}
    fork = Fork(lambda channel: _make(model, order, waiting, channel))
    while waiting:
        done = fork.receive(min(deadline, time.monotonic() + order["patience"]))
        if done is None:
            hangs = fork.code is None
            outcomes[waiting.pop(0)] = "it does not answer" if hangs else "it ends its process"
            if hangs and order["fragile"]:  # the other trials would hang as well
                waiting.clear()
            break
        outcomes[waiting.pop(0)] = done["outcome"]
        if done["outcome"]:
            break
    fork.end()
    return outcomes


def _make(model: LoadedModel, order: Message, steps: list[str], channel: ForkChannel) -> None:
    """In a fork: make trials and report each, up to the first one that fails."""
    begin(model)
    for step in steps:
        outcome = STEPS[step](model, order)
        channel.send({"outcome": outcome})
        if outcome:
            return


def begin(model: LoadedModel) -> None:
    """Do what a worker does after the fork."""
    random_numbers.reseed()
    if not model.is_async:
        lifecycle.start(model)


def sequence(model: LoadedModel) -> list[Any]:
    """Return the answers to the same example, several times, in this thread."""
    example = model.examples[0]
    return [answer(model, example.variables, model.context) for _ in range(3)]


def _sequence_of_fork(model: LoadedModel, order: Message) -> Any:
    def report(channel: ForkChannel) -> None:
        begin(model)
        channel.send({"answers": sequence(model)})

    fork = Fork(report)
    found = fork.receive(time.monotonic() + order["patience"])
    fork.end()
    return found and found["answers"]


# --- calls ----------------------------------------------------------------------------------------


def examine(model: LoadedModel, order: Message, context: Context) -> str:
    """Answer the examples and compare with the baseline; return what went wrong, or nothing."""
    for index in range(min(len(model.examples), len(order["answers"]))):
        example = model.examples[index]
        try:
            got = answer(model, example.variables, context)
        except NotFitted:
            continue
        except BaseException as error:  # noqa: BLE001  model code
            return failure(model, error)
        if wrong := _difference(example.name, order, index, got):
            return wrong
    return ""


def _difference(name: str, order: Message, index: int, got: Any) -> str:
    """Return how an answer differs from that of the baseline, in words; empty if it does not."""
    difference = order["steady"] and find_difference(order["answers"][index], got, BATCH)
    return f"example {name} {DIFFERS}: {difference}"[:MAX_REASON] if difference else ""


def failure(model: LoadedModel, error: BaseException) -> str:
    """Return what a model raised in a trial, in words."""
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001  model code
        text = ""
    kind = type(error).__name__
    message = plain(text, model.spec)
    # The answer of a model that raises while it is encoded names the kind already.
    shown = message if message.startswith(f"{kind}:") or not message else f"{kind}: {message}"
    return f"it raises {shown or kind}"[:MAX_REASON]


# --- the trials -----------------------------------------------------------------------------------


def _in_loop(model: LoadedModel, order: Message, *, hidden: bool = False) -> str:
    """Call the model from a callback of a running event loop."""
    found: list[str] = []
    loop = asyncio.new_event_loop()

    examine_here = event_loops.hidden(examine) if hidden else examine

    def call() -> None:
        try:
            found.append(examine_here(model, order, model.context))
        finally:
            loop.stop()

    loop.call_soon(call)
    loop.run_forever()
    return found[0]


def _in_thread(model: LoadedModel, order: Message) -> str:
    """Call the model in another thread."""
    found: list[str] = []
    context = model.context.copy()
    thread = threading.Thread(target=lambda: found.append(examine(model, order, context)))
    thread.start()
    thread.join()
    return found[0]


def _at_once(model: LoadedModel, order: Message) -> str:
    """Call the model in two threads at once, with different examples if there are some; an
    `async def` in one loop.
    """
    if model.is_async:
        return _in_one_loop(model, order)
    found: list[str] = []
    count = len(order["answers"])
    start = threading.Barrier(2)
    # A switch after each few instructions finds in four calls what else takes thousands.
    sys.setswitchinterval(1e-6)

    def call(offset: int, context: Context) -> None:
        examples = [(index + offset) % count for index in range(order["calls"])]
        start.wait()
        for index in examples:
            one = {**order, "answers": [order["answers"][index]]}
            if wrong := examine(_with_example(model, index), one, context):
                found.append(wrong)
                return

    threads = [
        threading.Thread(target=call, args=(offset, model.context.copy())) for offset in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found[0] if found else ""


def _in_one_loop(model: LoadedModel, order: Message) -> str:
    """Await several calls of an `async def` at once; return what went wrong, or nothing."""

    async def one(index: int) -> str:
        try:
            result = await model.call(copy.deepcopy(model.examples[index].variables))
            got = json.loads(results.dump(result))
        except BaseException as error:  # noqa: BLE001  model code
            return failure(model, error)
        return _difference(model.examples[index].name, order, index, got)

    async def all_at_once() -> list[str]:
        indexes = [number % len(order["answers"]) for number in range(2 * AT_ONCE_CALLS)]
        return await asyncio.gather(*map(one, indexes))

    with asyncio.Runner() as runner:
        found = runner.run(all_at_once(), context=model.context.copy())
    return next(filter(None, found), "")


def _with_example(model: LoadedModel, index: int) -> LoadedModel:
    one = copy.copy(model)
    one.examples = (model.examples[index],)
    return one


STEPS: dict[str, Callable[[LoadedModel, Message], str]] = {
    "fork": lambda model, order: examine(model, order, model.context),
    "loop": _in_loop,
    "hidden": lambda model, order: _in_loop(model, order, hidden=True),
    "thread": _in_thread,
    "twice": _at_once,
}
