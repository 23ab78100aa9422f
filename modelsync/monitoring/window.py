"""The newest samples of the version of a model that serves: what is compared with its fit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pyarrow as pa

from modelsync.models.serialization import from_json
from modelsync.models.statistics.summary import TableStatistics
from modelsync.monitoring.drift import LEAST, NO_SCIPY, columns_drift, has_scipy
from modelsync.monitoring.figures import ColumnDrift
from modelsync.monitoring.sample_table import PREDICTION, TIME, VERSION, joined

WINDOW = 10_000
"""Rows that are compared."""


class Window:
    """Rows of one version, None for a model that has none, and the statistics of its fit."""

    def __init__(
        self, version: int | None, statistics: Mapping[str, Any] | None, rows: pa.Table | None
    ) -> None:
        self.version = version
        self.statistics = from_json(TableStatistics, statistics) if statistics else None
        self._rows = rows

    @property
    def target(self) -> str:
        """The name of what is predicted; empty if it is not known."""
        target = self.statistics.target if self.statistics else ()
        return target[0].name if len(target) == 1 else ""

    def add(self, rows: pa.Table) -> None:
        """Add samples of any version; those of others are left out."""
        numbers = rows.column(VERSION).to_pylist()
        rows = rows.filter(pa.array([number == self.version for number in numbers], pa.bool_()))
        if rows.num_rows:
            whole = joined([self._rows, rows]) if self._rows is not None else rows
            self._rows = whole.slice(max(0, whole.num_rows - WINDOW))

    @property
    def rows(self) -> int:
        """Rows that are compared."""
        return self._rows.num_rows if self._rows is not None else 0

    @property
    def since(self) -> str | None:
        """When the first of them came."""
        times: list[datetime] = self._rows.column(TIME).to_pylist() if self._rows else []
        return min(times).isoformat(timespec="seconds") if times else None

    def drift(self) -> tuple[tuple[ColumnDrift, ...], tuple[ColumnDrift, ...], str]:
        """Return the drift of the columns and of what is predicted, and why there is none."""
        if self.version is None or self.statistics is None:
            return (), (), "nothing is known of the data that the model was fitted with"
        if self._rows is None or self.rows < LEAST:
            return (), (), f"{self.rows} samples; drift is told from {LEAST} on"
        samples = {name: self._rows.column(name).to_pylist() for name in self._rows.column_names}
        columns = columns_drift(self.statistics.columns, samples)
        predicted = samples.get(PREDICTION, [])
        known = self.target and any(map(_is_value, predicted))
        target = columns_drift(self.statistics.target, {self.target: predicted} if known else {})
        return columns, target, "" if has_scipy() else NO_SCIPY


def _is_value(prediction: Any) -> bool:
    """Whether a prediction is one value: objects and lists are JSON, in a column of texts."""
    is_json = isinstance(prediction, str) and prediction[:1] in ("{", "[")
    return prediction is not None and not is_json
