"""Figure 11: what sampling one request in a hundred costs, and sampling none."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from bench.reporting import Figure, Line, median, progress
from bench.versions import rate
from tests.fixtures.service import Service, serving, write_example, write_model

ROUNDS = 31

PLAIN = """
class Plain:
    def transform_predict(self, a: float, b: float):
        return {"y": 2 * a + 3 * b}
"""

BATCHED = """
class Batched:
    def transform_predict_batch(self, rows: list[dict]):
        return [{"y": 2 * row["a"] + 3 * row["b"]} for row in rows]
"""

SHARES = {"0": "none", "0.01": "one in a hundred", "1": "all"}


def measure(folder: Path) -> Figure:
    """The processor time for a request to that without sampling, in services side by side."""
    for name, code in (("Plain", PLAIN), ("Batched", BATCHED)):
        write_example(write_model(folder / "models", name, code), {"a": 0.1, "b": 0.2})
    with ExitStack() as stack:
        services = {}
        for name, share in (("off", "0"), *((share, share) for share in SHARES)):
            (folder / name).mkdir()
            started = serving(
                folder / name, folder / "models", MODELSYNC_SAMPLE_RATE=share, MODELSYNC_WORKERS="1"
            )
            services[name] = stack.enter_context(started)
        lines = [
            line for model in ("Plain", "Batched") for line in _compare(services, folder, model)
        ]
    notes = [
        f"wrk, 32 connections, {ROUNDS} rounds of 1 s for each service, in turn, one worker each: "
        "the processor time of the worker, all its threads included, for each request; ratios to "
        "the mean of two services without sampling in the same round. `none` is one of these two: "
        "how far it is from 1 shows how far chance goes.",
        "The collector is a process of its own, niced, and not in the figures.",
    ]
    return Figure("11. Sampling of requests", "sampling", lines, notes)


def _compare(services: dict[str, Service], folder: Path, model: str) -> list[Line]:
    progress(model)
    costs: dict[str, list[float]] = {share: [] for share in SHARES}
    for number in range(ROUNDS):
        names = list(services) if number % 2 else list(reversed(services))
        each = {name: cost(services[name], folder, model) for name in names}
        without = (each["off"] + each["0"]) / 2
        for share, ratios in costs.items():
            ratios.append(each[share] / without)
    return [
        median(
            f"{model}: processor time for a request, sampling {SHARES[share]}",
            ratios,
            "times",
            1.02 if share == "0.01" else None,
        )
        for share, ratios in costs.items()
    ]


def cost(service: Service, folder: Path, model: str) -> float:
    """Seconds of processor time of the worker for each request."""
    (worker,) = service.workers()
    before = worker.cpu_times()
    requests = rate(service, folder, model)
    after = worker.cpu_times()
    return (after.user + after.system - before.user - before.system) / requests
