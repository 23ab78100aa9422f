"""The rows of the table of figures, made from the outcomes of runs."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

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


@dataclass(frozen=True, slots=True)
class Figure:
    """A number to be met: of one run, or its ratio to that of another, or of the loop that calls
    the run's model without a server.
    """

    what: str
    run: Run
    other: Run | Literal["loop"] | None
    target: float | None
    of: Literal["rate", "p50", "p99"] = "rate"

    @property
    def runs(self) -> list[Run]:
        return [self.run, *([self.other] if isinstance(self.other, Run) else [])]

    def row(self, measured: Measured) -> Row:
        """The medians' value or ratio, with the least and the greatest of the rounds."""
        sense = BETTER_IS_MORE if self.of == "rate" else BETTER_IS_LESS
        unit = "x" if self.other else "ms"
        outcomes = [measured.of(run) for run in self.runs]
        remark = "; ".join(one.failure[:200] for one in outcomes if one.failure)
        if not all(one.samples for one in outcomes):
            return Row(self.what, None, unit, sense, self.target, remark=remark or "not measured")
        values, *others = [one.values(self.of) for one in outcomes]
        if self.other == "loop":
            others = [measured.loops[self.run.model]]
        value = statistics.median(values)
        for other in others:
            if not (base := statistics.median(other)):
                return Row(self.what, None, unit, sense, self.target, remark="no answers at all")
            value /= base
            values = list(paired(values, other))
        spread = spread_of(values, lambda one: f"{one:.2f}")
        return Row(self.what, value, unit, sense, self.target, spread, remark)


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


def spread_of(values: Sequence[float], shown: Callable[[float], str]) -> str:
    """The least and the greatest of several rounds."""
    return f"{shown(min(values))} to {shown(max(values))}" if len(values) > 1 else ""
