"""What becomes of the commit of a canary: a pure function of what both sides have counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal, NamedTuple

from modelsync.rollout.counts import Counts, ModelCounts, total
from modelsync.settings import Canary

ALL = "all models"
"""What the sum over the models is called."""

SHORTEST = 0.01
"""Seconds of the 99th percentile under which a difference may as well be one of the nodes."""


class Judgement(NamedTuple):
    """What is to become of a commit, and why."""

    outcome: Literal["promote", "drop", "wait"]
    reason: str


@dataclass(frozen=True, slots=True)
class CanaryTrial:
    """What was counted since a commit became ready in every pod of the canary, `seconds` ago.

    `canary` and `stable` hold the counts of each side's pods by model. The stable pods' also hold
    how many of the canary's answers to mirrored requests were the same, and how many were not.
    """

    seconds: float
    canary: Counts
    stable: Counts


def judge(trial: CanaryTrial, limits: Canary) -> Judgement:
    """Judge a commit by each of its models, and by all of them together.

    A share is one of the least number of requests, as if those that are missing had gone well: so a
    commit that fails from the start is dropped soon, and one whose second request fails is not. A
    model with fewer requests than that is judged by its failures and differences alone.
    """
    sides = {
        **{name: (one, trial.stable.get(name, {})) for name, one in trial.canary.items()},
        **{name: (trial.canary.get(name, {}), one) for name, one in trial.stable.items()},
        ALL: (total(trial.canary), total(trial.stable)),
    }
    faults = chain.from_iterable(
        _faults(name, ModelCounts(canary), ModelCounts(stable), limits)
        for name, (canary, stable) in sides.items()
    )
    if fault := next(faults, None):
        return Judgement("drop", fault)
    canary, stable = (ModelCounts(one) for one in sides[ALL])
    if canary.requests < limits.requests:
        return Judgement("wait", f"{canary.requests:.0f} of {limits.requests} requests")
    if 0 < stable.compared < limits.requests:
        return Judgement("wait", f"{stable.compared:.0f} of {limits.requests} answers compared")
    if trial.seconds < limits.after:
        return Judgement("wait", f"{trial.seconds:.0f} of {limits.after:.0f} s")
    return Judgement("promote", _praise(canary, stable))


def _faults(name: str, canary: ModelCounts, stable: ModelCounts, limits: Canary) -> Iterator[str]:
    """What speaks against the commit."""
    failed = canary.failures / max(canary.requests, limits.requests)
    if failed > stable.error_rate + limits.error_rate:
        yield (
            f"{name}: {canary.failures:.0f} of {canary.requests:.0f} requests failed, "
            f"{stable.error_rate:.2%} of the stable pods'"
        )
    if stable.different / max(stable.compared, limits.requests) > limits.different:
        yield f"{name}: {stable.different:.0f} of {stable.compared:.0f} answers are different"
    if min(canary.requests, stable.requests) < limits.requests:
        return
    slow, usual = canary.quantile(0.99), stable.quantile(0.99)
    if slow > max(usual * limits.slower, SHORTEST):
        yield f"{name}: the 99th percentile is {slow:.3g} s, the stable pods' {usual:.3g} s"


def _praise(canary: ModelCounts, stable: ModelCounts) -> str:
    """The figures of a commit that nothing speaks against."""
    words = [
        f"{canary.requests:.0f} requests: {canary.error_rate:.2%} failed, the 99th percentile is "
        f"{canary.quantile(0.99):.3g} s"
    ]
    if stable.requests:
        words += [f"the stable pods' {stable.error_rate:.2%} and {stable.quantile(0.99):.3g} s"]
    if stable.compared:
        words += [f"{stable.different:.0f} of {stable.compared:.0f} answers different"]
    return "; ".join(words)
