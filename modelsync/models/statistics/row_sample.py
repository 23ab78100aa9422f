"""A sample of the rows of a stream, each with the same chance, in bounded memory.

Each row gets a random key, and those with the smallest keys stay (bottom-k sampling; Cohen and
Kaplan, "Summarizing data using bottom-k sketches", 2007). Only the rows that stay are looked at, so
ten million rows cost little more than ten million random numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from modelsync.models.statistics import row_access

if TYPE_CHECKING:
    import numpy as np

MOST_ROWS = 10_000
"""Rows of a sample; fewer where a table has many columns."""

MOST_VALUES = 2_000_000
"""Values of a sample."""

MOST_COLUMNS = 500
"""Columns of a sample: the first ones."""


class RowSample:
    """The sample of what was added. `rows` counts all rows, `taken` those of the sample."""

    def __init__(self) -> None:
        import numpy as np

        self._random = np.random.default_rng(0)  # the same data gives the same sample
        self._keys: np.ndarray[Any, Any] = np.empty(0)
        self._columns: dict[str, np.ndarray[Any, Any]] = {}
        self.rows = 0

    @property
    def taken(self) -> int:
        """Rows of the sample."""
        return len(self._keys)

    @property
    def columns(self) -> dict[str, Any]:
        """The values of the sample by column, as arrays."""
        return self._columns

    def add(self, *tables: tuple[Any, str]) -> None:
        """Add rows. Each table has the same number of them, and the prefix of its columns' names.

        Raises what the library of a table raises, and ValueError for what is no table.
        """
        import numpy as np

        count = row_access.count(tables[0][0])
        keys = self._random.random(count)
        most = self._limit() if self._columns else MOST_ROWS
        chosen = np.arange(count)
        if len(self._keys) >= most:
            chosen = np.flatnonzero(keys < self._keys.max())
        if len(chosen) > most:
            chosen = chosen[np.argpartition(keys[chosen], most - 1)[:most]]
        self.rows += count
        if not len(chosen):
            return
        found: dict[str, np.ndarray[Any, Any]] = {}
        for table, prefix in tables:
            columns = row_access.columns(table, chosen, MOST_COLUMNS)
            found |= {f"{prefix}{name}": values for name, values in columns.items()}
        self._join(keys[chosen], found)

    def _limit(self) -> int:
        return max(100, min(MOST_ROWS, MOST_VALUES // max(1, len(self._columns))))

    def _join(self, keys: Any, found: dict[str, Any]) -> None:
        """Join rows with those that are there, and keep the ones with the smallest keys."""
        import numpy as np

        if self._columns:
            common = [name for name in self._columns if name in found]
            self._columns = {
                name: np.concatenate([self._columns[name], found[name]]) for name in common
            }
            keys = np.concatenate([self._keys, keys])
        else:
            self._columns = found
        if len(keys) > (most := self._limit()):
            kept = np.sort(np.argpartition(keys, most - 1)[:most])
            keys = keys[kept]
            self._columns = {name: values[kept] for name, values in self._columns.items()}
        self._keys = keys
