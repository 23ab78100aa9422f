"""Predictions and the truth that comes later, in each kind of database."""

from __future__ import annotations

import pytest

from modelsync.store import observations
from modelsync.store.catalog import Catalog
from modelsync.store.records import Observation


def predictions(*values: object, version: int = 1, first: int = 0) -> list[Observation]:
    return [
        Observation("Churn", f"r{number}", version, value)
        for number, value in enumerate(values, first)
    ]


def test_truth_after_and_before_its_prediction(catalog: Catalog) -> None:
    """Either may come first; the answer says of how many the prediction is known."""
    catalog.observe(predictions("yes", "no"))
    assert catalog.tell_truths("Churn", {"r0": "yes", "r1": "yes", "r2": "no"}) == 2
    catalog.observe(predictions("no", first=2))
    (found,) = catalog.live_quality("Churn")
    assert (found.version, found.compared, found.error) == (1, 3, None)
    assert found.accuracy == pytest.approx(2 / 3)
    last = catalog.last_truth()
    assert last
    assert catalog.told_since(None) == {"Churn"}
    assert catalog.told_since(last) == set()


def test_repeated_writes_count_once(catalog: Catalog) -> None:
    """A collector that is killed, or a client that tries again, changes nothing."""
    for _ in range(2):
        catalog.observe(predictions(1.0, 2.0))
        assert catalog.tell_truths("Churn", {"r0": 2.0}) == 1
    (found,) = catalog.live_quality("Churn")
    assert (found.compared, found.error, found.accuracy) == (1, 1.0, 0.0)


def test_last_truth_counts(catalog: Catalog) -> None:
    """A client may correct what it told."""
    catalog.observe(predictions("yes"))
    catalog.tell_truths("Churn", {"r0": "no"})
    catalog.tell_truths("Churn", {"r0": "yes"})
    assert catalog.live_quality("Churn")[0].accuracy == 1.0


def test_versions_and_models_are_apart(catalog: Catalog) -> None:
    """Each version has its figures, the newest first; others' truths are not ours."""
    catalog.observe(predictions("yes", version=1) + predictions("yes", version=2, first=1))
    catalog.tell_truths("Churn", {"r0": "no", "r1": "yes"})
    catalog.tell_truths("Other", {"r0": "yes"})
    found = catalog.live_quality("Churn")
    assert [(one.version, one.accuracy) for one in found] == [(2, 1.0), (1, 0.0)]
    assert catalog.live_quality("Other") == []


def test_observations_are_bounded(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Truths of requests that were not sampled go first, then the oldest predictions."""
    monkeypatch.setattr(observations, "MOST", 10)
    monkeypatch.setattr(observations, "PRUNED_EVERY", 1)
    catalog.observe(predictions(*range(5)))
    catalog.tell_truths("Churn", {f"unknown{number}": 1 for number in range(20)})
    catalog.observe(predictions(*range(8), first=5))
    assert catalog.tell_truths("Churn", {f"r{number}": number for number in range(13)}) == 10
    assert sum(one.compared for one in catalog.live_quality("Churn")) == 10


def test_values_that_databases_cannot_hold(catalog: Catalog) -> None:
    """Any JSON value comes back as it was told, odd texts included."""
    catalog.observe(predictions(["a", None], {"b": 2**70}, "\ud800\0"))
    assert catalog.tell_truths("Churn", {"r0": ["a", "x"], "r1": {"b": 2**70}, "r2": "x"}) == 3
    assert catalog.live_quality("Churn")[0].compared == 3
