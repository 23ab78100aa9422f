"""Figure 15: what copying predictions to a candidate costs the workers that serve."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from bench.reporting import Figure, Line, median, progress
from bench.sampling import BATCHED, PLAIN, cost
from tests.fixtures.service import Service, serving, write_example, write_model

ROUNDS = 31

RATES = {"off": None, "off again": None, "0.01": 1.02, "0.1": 1.1, "1": None}
"""Shares that are copied, with the target of the ratio; `off again` is how far chance goes."""


def measure(folder: Path) -> Figure:
    """The processor time of a worker for each request, to that without a candidate, in services
    side by side.
    """
    for name, code in (("Plain", PLAIN), ("Batched", BATCHED)):
        write_example(write_model(folder / "models", name, code), {"a": 0.1, "b": 0.2})
    with ExitStack() as stack:
        candidate = _started(stack, folder, "candidate")
        services = {rate: _started(stack, folder, rate, candidate.url) for rate in RATES}
        lines = [
            line for model in ("Plain", "Batched") for line in _compare(services, folder, model)
        ]
        lines.append(_memory(services["1"]))
    notes = [
        f"wrk, 32 connections, {ROUNDS} rounds of 1 s for each service, in turn, one worker each: "
        "the processor time of the worker for each request; ratios to the mean of two services "
        "without a candidate in the same round. `off again` is one of these two: how far it is "
        "from 1 shows how far chance goes.",
        "The process that asks the candidate is niced, and not in the ratios.",
    ]
    return Figure("15. Shadow requests", "shadow", lines, notes)


def _started(stack: ExitStack, folder: Path, name: str, candidate: str = "") -> Service:
    settings = {} if name.startswith(("off", "candidate")) else {"MODELSYNC_SHADOW_RATE": name}
    if settings:
        settings["MODELSYNC_SHADOW_URL"] = candidate
    (folder / name).mkdir()
    running = serving(folder / name, folder / "models", MODELSYNC_WORKERS="1", env=settings)
    return stack.enter_context(running)


def _compare(services: dict[str, Service], folder: Path, model: str) -> list[Line]:
    progress(model)
    costs: dict[str, list[float]] = {rate: [] for rate in RATES}
    for number in range(ROUNDS):
        names = list(services) if number % 2 else list(reversed(services))
        each = {name: cost(services[name], folder, model) for name in names}
        without = (each["off"] + each["off again"]) / 2
        for rate, ratios in costs.items():
            ratios.append(each[rate] / without)
    return [
        median(
            f"{model}: processor time for a request, copied: {rate}", ratios, "times", RATES[rate]
        )
        for rate, ratios in costs.items()
        if rate != "off"
    ]


def _memory(service: Service) -> Line:
    """The memory of the process that asks the candidate."""
    import psutil

    children = psutil.Process(service.process.pid).children()
    (copying,) = [one for one in children if "monitoring.shadow" in " ".join(one.cmdline())]
    return Line(
        "memory of the process that asks the candidate", copying.memory_full_info().pss / 1e6, "MB"
    )
