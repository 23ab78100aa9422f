"""Figure 9: what sampling one request in a hundred costs, and sampling none."""

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

RATES = {"0": "none", "0.01": "one in a hundred", "1": "all"}


def measure(folder: Path) -> Figure:
    """The time for a request to that without sampling, in services side by side, in turn."""
    for name, code in (("Plain", PLAIN), ("Batched", BATCHED)):
        write_example(write_model(folder / "models", name, code), {"a": 0.1, "b": 0.2})
    with ExitStack() as stack:
        services = {}
        for name, share in (("off", "0"), ("0", "0"), ("0.01", "0.01"), ("1", "1")):
            (folder / name).mkdir()
            started = serving(
                folder / name, folder / "models", MODELSYNC_SAMPLE_RATE=share, MODELSYNC_WORKERS="1"
            )
            services[name] = stack.enter_context(started)
        lines = [
            line for model in ("Plain", "Batched") for line in _compare(services, folder, model)
        ]
    notes = [
        f"wrk, 32 connections, {ROUNDS} rounds of 1 s for each service, in turn, one worker each; "
        "ratios to the service without sampling of the same round. `none` is the same service "
        "twice: how far chance goes.",
        "The collector of each service runs meanwhile, niced: its work is in the figures, as far "
        "as it takes processors from the workers.",
    ]
    return Figure("9. Sampling of requests", "sampling", lines, notes)


def _compare(services: dict[str, Service], folder: Path, model: str) -> list[Line]:
    progress(model)
    costs: dict[str, list[float]] = {share: [] for share in RATES}
    for number in range(ROUNDS):
        names = list(services) if number % 2 else list(reversed(services))
        rates = {name: rate(services[name], folder, model) for name in names}
        for share, ratios in costs.items():
            ratios.append(rates["off"] / rates[share])
    return [
        median(
            f"{model}: time for a request, sampling {RATES[share]}",
            ratios,
            "times",
            1.02 if share != "1" else None,
        )
        for share, ratios in costs.items()
    ]
