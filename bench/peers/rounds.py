"""Rounds: every contestant in turn, then all again, so that other load on the machine affects all
alike.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import requests

from bench.peers import wrk
from bench.peers.contestants import Contestant
from bench.peers.environments import NotInstalled
from bench.peers.servers import SERVER_CORE, NotStarted, Running, running
from bench.peers.shapes import Model
from bench.peers.wrk import Sample

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Run:
    """What is measured in each round: one model of one contestant under one load."""

    contestant: Contestant
    model: Model
    connections: int = 16
    workers: int = 1
    pinned: bool = True
    new_heads: bool = False

    @property
    def start(self) -> tuple[str, Model, int, bool]:
        """Runs that are equal in this share a server."""
        return (self.contestant.key, self.model, self.workers, self.pinned)

    @property
    def key(self) -> tuple[object, ...]:
        """The key that only this run has."""
        return (*self.start, self.connections, self.new_heads)


@dataclass(slots=True)
class Outcome:
    """One sample per round. `failure` says why there is none, or what was wrong with them."""

    samples: list[Sample] = field(default_factory=list)
    failure: str = ""

    def values(self, of: str) -> list[float]:
        """One number of each sample."""
        return [getattr(sample, of) for sample in self.samples]

    def median(self, of: str) -> float:
        return statistics.median(self.values(of))


@dataclass(frozen=True)
class Pace:
    """How long and how often, in seconds."""

    rounds: int = 3
    warm_up: float = 2.0
    seconds: float = 5.0


class Measured:
    """All outcomes, and the calls per second of the bare `looped` models in each round."""

    def __init__(self, runs: Sequence[Run], looped: Sequence[Model]) -> None:
        self.runs = list({run.key: run for run in runs}.values())
        self.loops: dict[Model, list[float]] = {model: [] for model in looped}
        self._outcomes = {run.key: Outcome() for run in self.runs}

    def of(self, run: Run) -> Outcome:
        return self._outcomes[run.key]

    def complete(self, pace: Pace, folder: Path, progress: Callable[[str], None]) -> None:
        """Measure all rounds."""
        by_server: dict[object, list[Run]] = {}
        for run in self.runs:
            by_server.setdefault(run.start, []).append(run)
        groups = list(by_server.values())
        for number in range(pace.rounds):
            progress(f"round {number + 1} of {pace.rounds}")
            for model, rates in self.loops.items():
                rates.append(_loop(model, pace.seconds))
                progress(f"  the loop without a server, {model}: {rates[-1]:,.1f}/s")
            turn = number * len(groups) // pace.rounds  # the order rotates
            for place, group in enumerate(groups[turn:] + groups[:turn]):
                waiting = [run for run in group if self.of(run).samples or not self.of(run).failure]
                if waiting:
                    self._group(waiting, pace, folder / f"{number}-{place}", progress)

    def _group(
        self, runs: Sequence[Run], pace: Pace, work: Path, progress: Callable[[str], None]
    ) -> None:
        first = runs[0]
        try:
            with running(
                first.contestant, first.model, work, workers=first.workers, pinned=first.pinned
            ) as server:
                problem = server.compilation_problem()
                for run in runs:
                    sample = _sample(run, server, pace, work)
                    self._keep(run, sample, problem)
                    progress(
                        f"  {run.contestant.name}, {run.model}, {run.connections} connections: "
                        f"{sample.rate:,.0f}/s, "
                        f"{sample.cpu:.1f} µs"
                    )
        except (NotInstalled, NotStarted) as error:
            for run in runs:
                self.of(run).failure = str(error)
            progress(f"  {first.contestant.name}, {first.model}: {error}")

    def _keep(self, run: Run, sample: Sample, problem: str) -> None:
        outcome = self.of(run)
        outcome.samples.append(sample)
        outcome.failure = problem or outcome.failure
        if sample.errors:
            outcome.failure = f"failed requests: {sample.errors} of {sample.requests}"


def _sample(run: Run, server: Running, pace: Pace, work: Path) -> Sample:
    def measure(seconds: float) -> Sample:
        return wrk.measure(
            server,
            work,
            connections=run.connections,
            seconds=seconds,
            pinned=run.pinned,
            new_heads=run.new_heads,
        )

    measure(pace.warm_up)
    if not run.contestant.scraped:
        return measure(pace.seconds)
    scrape = threading.Timer(
        pace.seconds / 2, lambda: requests.get(f"{server.url}/metrics", timeout=30)
    )
    scrape.start()
    try:
        return measure(pace.seconds)
    finally:
        scrape.join()


def _loop(model: Model, seconds: float) -> float:
    program = [sys.executable, "-m", "bench.peers.loop", model, str(seconds)]
    command = ["taskset", "-c", SERVER_CORE, *program]
    env = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return float(
        subprocess.run(
            command, cwd=ROOT, env=env, capture_output=True, text=True, check=True
        ).stdout
    )


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Iterator[float]:
    """The ratio in each round."""
    return (one / other for one, other in zip(ours, theirs, strict=False) if other)
