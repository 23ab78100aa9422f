"""What pods have counted: read from their own `/metrics`, added up, and since a moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelsync.rollout.counts import ModelCounts, read, since, summed, total
from tests.api.serving import JSON, a_service, body


def test_the_services_own_metrics_are_understood(tmp_path: Path) -> None:
    """Requests, failures and durations of a model that was asked; nothing of others."""
    from modelsync.api.app import create_app

    client = create_app(a_service(tmp_path)).test_client()
    for number in range(3):
        client.post("/models/Add", data=body(a=number), headers=JSON)
    found = read(client.get("/metrics").text)
    assert set(found) == {"Add"}
    counted = ModelCounts(found["Add"])
    assert (counted.requests, counted.failures, counted.error_rate) == (3, 0, 0)
    assert found["Add"]["le:+Inf"] == 3
    assert 0 < counted.quantile(0.99) < 10


def test_compared_answers() -> None:
    """No answer is a different one; what was never sent is none."""
    text = "# TYPE modelsync_shadow_requests_total counter\n" + "".join(
        f'modelsync_shadow_requests_total{{model="Churn",result="{result}"}} {number}\n'
        for result, number in (("equal", 7), ("different", 2), ("failed", 1), ("dropped", 5))
    )
    counted = ModelCounts(read(text)["Churn"])
    assert (counted.different, counted.compared) == (3, 10)


@pytest.mark.parametrize(
    ("share", "seconds"), [(0.5, 0.05), (0.9, 0.1), (0.95, 0.3), (0.99, 0.5), (1.0, 0.5)]
)
def test_quantiles_are_those_of_prometheus(share: float, seconds: float) -> None:
    """Linear within a bucket; above the last finite bound there is only that."""
    buckets = {"le:0.1": 90.0, "le:0.5": 98.0, "le:+Inf": 100.0}
    assert ModelCounts(buckets).quantile(share) == pytest.approx(seconds, abs=0.06)
    assert ModelCounts({}).quantile(share) == 0


def test_counts_since_a_moment() -> None:
    """The difference; a pod that counts from 0 again has counted all of it since then."""
    before = {"Churn": {"requests": 10.0, "le:1": 9.0}}
    now = {"Churn": {"requests": 15.0, "le:1": 14.0}, "Price": {"requests": 2.0}}
    assert since(now, before) == {
        "Churn": {"requests": 5.0, "le:1": 5.0}, "Price": {"requests": 2.0},
    }  # fmt: skip
    anew = {"Churn": {"requests": 3.0, "le:1": 3.0}}
    assert since(anew, before) == anew
    assert since({}, before) == {}


def test_sums() -> None:
    """Over pods by model, and over models."""
    pod = {"Churn": {"requests": 1.0}, "Price": {"requests": 2.0, "failures": 1.0}}
    both = summed([pod, {"Churn": {"requests": 4.0}}])
    assert both == {"Churn": {"requests": 5.0}, "Price": {"requests": 2.0, "failures": 1.0}}
    assert total(both) == {"requests": 7.0, "failures": 1.0}
    assert total({}) == {}
