"""What becomes of a canary's commit, by the figures of both sides."""

from __future__ import annotations

import pytest

from modelsync.rollout.canary_rule import CanaryTrial, judge
from modelsync.settings import Canary

LIMITS = Canary(ref="candidate", decides="both")


def counts(
    requests: float = 0,
    failures: float = 0,
    *,
    slow: float = 0,
    equal: float = 0,
    different: float = 0,
) -> dict[str, float]:
    """The counts of a model that answers within 25 ms, but for `slow` requests within 50 ms."""
    return {
        "requests": requests, "failures": failures, "equal": equal, "different": different,
        "le:0.025": requests - slow, "le:0.05": requests, "le:+Inf": requests,
    }  # fmt: skip


def outcome(
    canary: dict[str, float], stable: dict[str, float] | None = None, seconds: float = 3600
) -> tuple[str, str]:
    """The judgement over a commit with one model, as whose share of failures the sum counts too."""
    sides = ({"Churn": canary}, {"Churn": counts(10_000) if stable is None else stable})
    return judge(CanaryTrial(seconds, *sides), LIMITS)


def test_a_commit_as_good_as_the_stable_one_is_promoted() -> None:
    """With enough requests and time, and the reason has the figures of both."""
    found, reason = outcome(counts(2000, 1), counts(10_000, 5))
    assert found == "promote"
    assert "2000 requests: 0.05% failed" in reason
    assert "the stable pods' 0.05%" in reason


@pytest.mark.parametrize(
    ("canary", "seconds", "reason"),
    [
        ({}, 3600, "0 of 1000 requests"),
        (counts(999), 3600, "999 of 1000 requests"),
        (counts(1000), 599, "599 of 600 s"),
    ],
)
def test_too_little_is_known(canary: dict[str, float], seconds: float, reason: str) -> None:
    """Neither is decided before there are requests and time enough."""
    assert outcome(canary, seconds=seconds) == ("wait", reason)


def test_a_comparison_that_has_begun_is_waited_for() -> None:
    """Where requests are mirrored, their answers count as well."""
    assert outcome(counts(5000), counts(5000, equal=999)) == (
        "wait", "999 of 1000 answers compared",
    )  # fmt: skip
    assert outcome(counts(5000), counts(5000, equal=1000))[0] == "promote"


@pytest.mark.parametrize(
    ("canary", "stable", "reason"),
    [
        (counts(2000, 21), counts(10_000), "Churn: 21 of 2000 requests failed, 0.00% of the"),
        (counts(20, 11), counts(10), "Churn: 11 of 20 requests failed"),
        (counts(2000, 121), counts(10_000, 500), "Churn: 121 of 2000 requests failed, 5.00% of"),
        (counts(2000, slow=100), counts(10_000), "Churn: the 99th percentile is 0.0"),
        (counts(1000), counts(2000, equal=1980, different=21), "21 of 2001 answers are different"),
        (counts(10), counts(100, equal=0, different=11), "Churn: 11 of 11 answers are different"),
    ],
)
def test_a_worse_commit_is_dropped(
    canary: dict[str, float], stable: dict[str, float], reason: str
) -> None:
    """Also long before its time, if no number of good answers could make up for the bad ones."""
    found, said = outcome(canary, stable, seconds=1)
    assert found == "drop", said
    assert reason in said


@pytest.mark.parametrize(
    ("canary", "stable"),
    [
        (counts(2000, 20), counts(10_000)),  # just the share that may fail
        (counts(2, 1), counts(10_000)),  # one failure is no share
        (counts(2000, 100), counts(10_000, 500)),  # fails as often as ever
        (counts(100, slow=50), counts(10_000)),  # a percentile of few requests is none
        (counts(2000, slow=10), counts(10_000)),  # less than one in a hundred
        (counts(1000), counts(2000, equal=1980, different=20)),
    ],
)
def test_what_is_within_the_limits_is_not_dropped(
    canary: dict[str, float], stable: dict[str, float]
) -> None:
    """A limit is what may be."""
    assert outcome(canary, stable)[0] != "drop"


def test_models_are_judged_each_by_itself() -> None:
    """One that always fails is found among others that are asked far more often."""
    canary = {"Churn": counts(100_000), "Price": counts(40, 40)}
    found, said = judge(CanaryTrial(3600, canary, {"Churn": counts(900_000)}), LIMITS)
    assert (found, said[:6]) == ("drop", "Price:")


def test_many_models_that_fail_a_little_are_judged_together() -> None:
    """Each with too few requests to be judged alone."""
    canary = {f"Model{number}": counts(500, 8) for number in range(10)}
    found, said = judge(CanaryTrial(3600, canary, {}), LIMITS)
    assert (found, said) == (
        "drop",
        "all models: 80 of 5000 requests failed, 0.00% of the stable pods'",
    )


def test_durations_too_short_to_tell_are_the_same() -> None:
    """Where both are under 10 ms, a difference is one of nodes."""
    slower = {"requests": 2000.0, "le:0.001": 0.0, "le:0.005": 2000.0, "le:+Inf": 2000.0}
    fast = {**slower, "le:0.001": 2000.0}
    assert outcome(slower, fast)[0] == "promote"
