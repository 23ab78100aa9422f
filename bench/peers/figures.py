"""The figures: the runs that they need, and the rows made from the outcomes."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from bench.peers import ours
from bench.peers.contestants import Contestant
from bench.peers.overload import MILLISECONDS, Overload
from bench.peers.rounds import Measured, Run, paired
from bench.peers.swaps import Swaps

BETTER_IS_MORE, BETTER_IS_LESS = "≥", "≤"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table of figures. `measured` is None after a failure (in `remark`)."""

    what: str
    measured: float | None
    unit: str
    sense: str
    target: float | None
    spread: str = ""
    remark: str = ""

    @property
    def met(self) -> bool:
        if self.target is None:
            return True
        if self.measured is None or self.remark:
            return False
        return (
            self.measured >= self.target
            if self.sense == BETTER_IS_MORE
            else self.measured <= self.target
        )

    @property
    def verdict(self) -> str:
        return "" if self.target is None else "met" if self.met else "MISSED"


class Figures:
    """All runs of the comparison, and the rows made from them."""

    def __init__(self, peers: Sequence[Contestant]) -> None:
        self.peers = peers
        by_key = {peer.key: peer for peer in peers}
        self.fastapi, self.nginx = by_key["fastapi"], by_key["nginx"]
        self.score, self.iris = Run(ours.PLAIN, "score"), Run(ours.PLAIN, "iris")
        self.ready = Run(ours.READY, "iris")
        self.crowd = Run(ours.CROWD, "score")
        self.logged = [Run(ours.LOGGED, "score"), Run(ours.LOGGED, "iris")]
        self.full = [Run(ours.FULL, "score"), Run(ours.FULL, "iris")]
        self.signed = Run(ours.SIGNED, "score")
        self.theirs = [Run(peer, model) for peer in peers for model in peer.models]
        self.ready_two = Run(ours.READY, "iris", connections=32, workers=2, pinned=False)

    @property
    def runs(self) -> list[Run]:
        """Every run; those that are compared, and those of one server, follow each other."""
        fast_score, fast_iris = Run(self.fastapi, "score"), Run(self.fastapi, "iris")
        return [
            self.score, _alone(self.score), _new_heads(self.score),
            fast_score, _alone(fast_score), _new_heads(fast_score),
            Run(self.nginx, "score"), self.crowd, self.signed, self.logged[0], self.full[0],
            self.iris, _alone(self.iris), self.ready, _alone(self.ready), fast_iris,
            _alone(fast_iris),
            self.logged[1], self.full[1], self.ready_two, _two(fast_iris), *self.theirs,
        ]  # fmt: skip

    @property
    def table(self) -> list[Run]:
        """The runs of the table of all contestants."""
        return [
            self.score, self.iris, self.ready, self.signed, *self.logged, *self.full,
            _new_heads(self.score), *self.theirs, _new_heads(Run(self.fastapi, "score")),
        ]  # fmt: skip

    def rows(self, measured: Measured) -> list[Row]:
        """The figures that are ratios or latencies."""
        m = measured
        fast_score, fast_iris = Run(self.fastapi, "score"), Run(self.fastapi, "iris")
        two = _two(fast_iris)
        return [
            _ratio(m, "pure Python, against FastAPI", self.score, fast_score, 8),
            _ratio(m, "pure Python, against nginx's `return 200`", self.score,
                   Run(self.nginx, "score"), 0.6),
            _ratio(m, "LogisticRegression, plain `transform_predict`, against FastAPI", self.iris,
                   fast_iris, 2),
            _to_loop(m, "the same, against calling it in a loop", self.iris, 0.65),
            _ratio(m, "LogisticRegression, ready artefact (batched), against FastAPI", self.ready,
                   fast_iris, 10),
            _to_loop(m, "the same, against calling it in a loop", self.ready, 3),
            _ratio(m, "two workers, not pinned, 32 connections, batched, against FastAPI",
                   self.ready_two, two, 6),
            _less(m, "one connection, p50, pure Python, against FastAPI", _alone(self.score),
                  _alone(fast_score), 0.7),
            _less(m, "… LogisticRegression, plain", _alone(self.iris), _alone(fast_iris), None),
            _less(m, "… LogisticRegression, ready artefact", _alone(self.ready), _alone(fast_iris),
                  None),
            _p99(m, "p99 under full load, pure Python", self.score, 5),
            _p99(m, "p99 under full load, LogisticRegression, plain", self.iris, 5),
            _p99(m, "p99 under full load, LogisticRegression, batched", self.ready, 2),
            _ratio(m, "one of 500 models, against one of 1 (and the iris model)", self.crowd,
                   self.score, 0.95),
            _ratio(m, "authentication, metrics and access log on, against off", self.full[0],
                   self.score, 0.85),
            _ratio(m, "… LogisticRegression, plain", self.full[1], self.iris, None),
            _ratio(m, "… access log on alone, pure Python", self.logged[0], self.score, None),
            _ratio(m, "each request with a header of its own, against FastAPI with the same",
                   _new_heads(self.score), _new_heads(fast_score), None),
            _ratio(m, "a validated signature `(a: float, b: float)`, against FastAPI", self.signed,
                   fast_score, None),
        ]  # fmt: skip


def _alone(run: Run) -> Run:
    return replace(run, connections=1)


def _new_heads(run: Run) -> Run:
    return replace(run, new_heads=True)


def _two(run: Run) -> Run:
    return replace(run, connections=32, workers=2, pinned=False)


def of_swaps(swaps: Swaps) -> Row:
    """The figure of the swaps."""
    remark = "; ".join(dict.fromkeys(swaps.failures[:3]))
    what = f"{swaps.swaps} swaps at full load: failed requests of {swaps.answered:,}"
    return Row(what, len(swaps.failures), "", BETTER_IS_LESS, 0, remark=remark)


def of_overload(overload: Overload) -> list[Row]:
    """The figures of three times the capacity."""
    model = f"a model that {overload.kind} {MILLISECONDS} ms"
    wrong = f"also: {overload.others}" if overload.others else ""
    offered = f"{overload.offered:,.0f}/s offered, capacity {overload.capacity:,.0f}/s"
    share = overload.goodput / overload.capacity
    rejections, probes = overload.rejections, overload.probes
    return [
        Row(f"overload, {model}: goodput of capacity", share, "x", BETTER_IS_MORE, 0.8, offered,
            wrong),
        _latency("… slowest rejection", rejections, 1.0, 100,
                 f"{len(rejections):,}, p99 {_at(rejections, 0.99)}"),
        _latency("… probes, p99", probes, 0.99, 200,
                 f"{len(probes):,} probes, slowest {_at(probes, 1.0)}"),
    ]  # fmt: skip


def _latency(what: str, ordered: Sequence[float], share: float, target: float, spread: str) -> Row:
    if not ordered:
        return Row(what, None, "ms", BETTER_IS_LESS, target, remark="there were none")
    return Row(what, percentile(ordered, share), "ms", BETTER_IS_LESS, target, spread)


def _at(ordered: Sequence[float], share: float) -> str:
    return f"{percentile(ordered, share):.1f} ms" if ordered else "unknown"


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of these sorted values that `share` of them do not exceed."""
    return ordered[max(0, -(-len(ordered) * round(share * 1000) // 1000) - 1)]


def _ratio(measured: Measured, what: str, one: Run, other: Run, target: float | None) -> Row:
    return _compare(measured, what, one, other, "rate", BETTER_IS_MORE, target)


def _less(measured: Measured, what: str, one: Run, other: Run, target: float | None) -> Row:
    return _compare(measured, what, one, other, "p50", BETTER_IS_LESS, target)


def _compare(
    measured: Measured, what: str, one: Run, other: Run, of: str, sense: str, target: float | None
) -> Row:
    first, second = measured.of(one), measured.of(other)
    failures = "; ".join(failure[:200] for failure in (first.failure, second.failure) if failure)
    if not first.samples or not second.samples:
        return Row(what, None, "x", sense, target, remark=failures or "not measured")
    ratios = list(paired(first.values(of), second.values(of)))
    return Row(
        what,
        first.median(of) / second.median(of),
        "x",
        sense,
        target,
        spread_of(ratios, _plain),
        failures,
    )


def _to_loop(measured: Measured, what: str, run: Run, target: float) -> Row:
    outcome = measured.of(run)
    if not outcome.samples:
        return Row(
            what, None, "x", BETTER_IS_MORE, target, remark=outcome.failure[:200] or "not measured"
        )
    ratio = outcome.median("rate") / statistics.median(measured.loop)
    spread = spread_of(list(paired(outcome.values("rate"), measured.loop)), _plain)
    return Row(what, ratio, "x", BETTER_IS_MORE, target, spread, outcome.failure[:200])


def _p99(measured: Measured, what: str, run: Run, target: float) -> Row:
    outcome = measured.of(run)
    if not outcome.samples:
        return Row(
            what, None, "ms", BETTER_IS_LESS, target, remark=outcome.failure[:200] or "not measured"
        )
    spread = spread_of(outcome.values("p99"), _plain)
    return Row(
        what, outcome.median("p99"), "ms", BETTER_IS_LESS, target, spread, outcome.failure[:200]
    )


def spread_of(values: Sequence[float], shown: Callable[[float], str]) -> str:
    """The least and the greatest of several rounds."""
    return f"{shown(min(values))} to {shown(max(values))}" if len(values) > 1 else ""


def _plain(value: float) -> str:
    return f"{value:.2f}"
