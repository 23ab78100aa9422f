"""The estimators and pipelines that are compiled."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from bench.compiled import estimators, pipelines
from bench.compiled.tables import CorpusEntry


def entries() -> Iterator[CorpusEntry]:
    """Yield the whole corpus."""
    yield from pipelines.pipelines()
    yield from pipelines.boosters()
    yield from estimators.of_sklearn()


def fitted(entry: CorpusEntry) -> Any:
    """Fit an entry, without its warnings. Raises what the estimator raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return entry.fit()
