"""The figures with their targets. What is measured follows from them: their runs, in this order,
and those of every other peer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from bench.peers import ours
from bench.peers.contestants import Contestant
from bench.peers.rounds import Measured, Run
from bench.peers.rows import Figure, Row
from bench.peers.shapes import VARIABLES, Model

Peers = Mapping[str, Contestant]

SCORE, IRIS = Run(ours.PLAIN, "score"), Run(ours.PLAIN, "iris")
READY = Run(ours.READY, "iris")
FULL, FULL_MYPYC = Run(ours.FULL, "score"), Run(ours.FULL_MYPYC, "score")
LOGISTIC, FOREST = Run(ours.COMPILED, "logistic"), Run(ours.COMPILED, "forest")

BASES: Mapping[Model, Run] = {
    "score": SCORE,
    "iris": IRIS,
    "logistic": LOGISTIC,
    "forest": FOREST,
    "custom": Run(ours.NOT_COMPILABLE, "custom"),
}
"""The run of each model to which the table of all contestants compares the others."""


class Figures:
    """The figures in which only these contestants take part, with these models, and their runs."""

    def __init__(
        self, peers: Sequence[Contestant], taking_part: Collection[str], models: Collection[Model]
    ) -> None:
        by_key = {peer.key: peer for peer in peers}
        theirs = [
            Run(peer, model)
            for peer in peers
            for model in peer.models
            if peer.key in taking_part and model in models
        ]
        self.figures = [
            figure
            for figure in [*_pure(by_key), *_iris(by_key), *_pipelines(by_key)]
            if figure.run.model in models and not _peers_of(figure, by_key) - set(taking_part)
        ]
        runs = [run for figure in self.figures for run in figure.runs] + theirs
        self.runs = list({run.key: run for run in runs}.values())

    @property
    def looped(self) -> list[Model]:
        """The models that are called in a loop as well."""
        looped = [figure.run.model for figure in self.figures if figure.other == "loop"]
        return list(dict.fromkeys(looped))

    @property
    def contestants(self) -> list[Contestant]:
        """Who takes part, modelsync first."""
        found = {run.contestant.key: run.contestant for run in self.table}
        return sorted(found.values(), key=lambda one: not one.is_ours)

    @property
    def table(self) -> list[Run]:
        """The runs of the table of all contestants: by model, modelsync first."""
        places = {model: place for place, model in enumerate(VARIABLES)}
        alike = [run for run in self.runs if run.connections == 16 and run.pinned]
        return sorted(alike, key=lambda run: (places[run.model], not run.contestant.is_ours))

    def rows(self, measured: Measured) -> list[Row]:
        """The figures' rows."""
        return [figure.row(measured) for figure in self.figures]


def _peers_of(figure: Figure, peers: Peers) -> set[str]:
    return {run.contestant.key for run in figure.runs} & peers.keys()


def _pure(peers: Peers) -> list[Figure]:
    """The figures of the server: the model itself takes less than a microsecond."""
    fastapi, nginx = Run(peers["fastapi"], "score"), Run(peers["nginx"], "score")
    pysgi = Run(peers["fastpysgi"], "score")
    everything_on = [
        figure
        for run, how in ((FULL, "interpreted"), (FULL_MYPYC, "predict path compiled by mypyc"))
        for figure in (
            Figure(f"pure Python, everything on, {how}, against FastPySGI with a bare WSGI "
                   "function", run, pysgi, 1.1),
            Figure("the same, against nginx's `return 200`", run, nginx, 0.75),
            Figure("the same, against FastAPI", run, fastapi, 11),
        )
    ]  # fmt: skip
    return [
        Figure("pure Python, against FastAPI", SCORE, fastapi, 8),
        Figure("pure Python, against nginx's `return 200`", SCORE, nginx, 0.6),
        *everything_on,
        Figure("authentication, metrics and access log on, against off", FULL, SCORE, 0.85),
        Figure("… access log on alone", Run(ours.LOGGED, "score"), SCORE, None),
        Figure("one of 500 models, against one of 1 (and the iris model)", Run(ours.CROWD, "score"),
               SCORE, 0.95),
        Figure("a validated signature `(a: float, b: float)`, against FastAPI",
               Run(ours.SIGNED, "score"), fastapi, None),
        Figure("each request with a header of its own, against FastAPI with the same",
               _new_heads(SCORE), _new_heads(fastapi), None),
        Figure("one connection, p50, pure Python, against FastAPI", _alone(SCORE), _alone(fastapi),
               0.7, "p50"),
        Figure("p99 under full load, pure Python", SCORE, None, 5, "p99"),
    ]  # fmt: skip


def _iris(peers: Peers) -> list[Figure]:
    """The figures of a small estimator that takes an array."""
    fastapi = Run(peers["fastapi"], "iris")
    return [
        Figure("LogisticRegression, plain `transform_predict`, against FastAPI", IRIS, fastapi, 2),
        Figure("the same, against calling it in a loop", IRIS, "loop", 0.65),
        Figure("LogisticRegression, ready artefact (batched), against FastAPI", READY, fastapi, 10),
        Figure("the same, against calling it in a loop", READY, "loop", 3),
        Figure("two workers, not pinned, 32 connections, batched, against FastAPI", _two(READY),
               _two(fastapi), 6),
        Figure("one connection, p50, LogisticRegression, plain, against FastAPI", _alone(IRIS),
               _alone(fastapi), None, "p50"),
        Figure("… ready artefact", _alone(READY), _alone(fastapi), None, "p50"),
        Figure("p99 under full load, LogisticRegression, plain", IRIS, None, 5, "p99"),
        Figure("p99 under full load, LogisticRegression, batched", READY, None, 2, "p99"),
        Figure("authentication, metrics and access log on, against off", Run(ours.FULL, "iris"),
               IRIS, None),
        Figure("… access log on alone", Run(ours.LOGGED, "iris"), IRIS, None),
    ]  # fmt: skip


def _pipelines(peers: Peers) -> list[Figure]:
    """The figures of pickled pipelines, which are compiled."""
    found: list[Figure] = []
    for run, name, least in (
        (LOGISTIC, "Pipeline + LogisticRegression", 100),
        (FOREST, "Pipeline + RandomForest of 100 trees", 150),
    ):
        pickled = Run(peers["fastapi_pickle"], run.model)
        converted = Run(peers["fastapi_onnx"], run.model)
        found += [
            Figure(f"{name}, against FastAPI with the pickle and a DataFrame", run, pickled, least),
            Figure("the same, against calling the pickle in a loop", run, "loop", 100),
            Figure("the same, against FastAPI that runs the ONNX file itself", run, converted, 6),
            Figure("p99 under that load", run, None, 2, "p99"),
            Figure("the same, against MODELSYNC_COMPILE=off", run,
                   Run(ours.NOT_COMPILED, run.model), None),
        ]  # fmt: skip
    custom = BASES["custom"]
    off = Run(ours.NOT_COMPILED, "custom")
    return [
        *found,
        Figure("an estimator that cannot be compiled, against MODELSYNC_COMPILE=off", custom, off,
               0.98),
    ]  # fmt: skip


def _alone(run: Run) -> Run:
    return replace(run, connections=1)


def _new_heads(run: Run) -> Run:
    return replace(run, new_heads=True)


def _two(run: Run) -> Run:
    return replace(run, connections=32, workers=2, pinned=False)
