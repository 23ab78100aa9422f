"""Rows of the training data that a fit does not get, to evaluate versions with.

They are chosen by a hash of their values, so that the same rows are held out each day: no version
is evaluated with rows that it, or the one before, was fitted with. Of rows with the same values the
first, the second and so on are chosen each by themselves, as if at random: if all of them were on
one side, no evaluation would be fair.
"""

from __future__ import annotations

from typing import Any

from modelsync.errors import DataInvalid
from modelsync.fitting import row_hash

LEAST = 5
"""Rows from which one is held out."""

MOST = 100_000
"""Rows that are held out at most: more make no metric better, and take memory."""

MOST_CLASSES = 100
"""Distinct values of a target up to which each keeps rows to be fitted with."""


class HeldOut:
    """The rows that are held out of one job's data; `share` of them, 0 for none.

    `batches`: those so far, as Arrow tables and batches. `taken`: how many rows came in all.
    """

    def __init__(self, share: float, target: tuple[str, ...]) -> None:
        self.batches: list[Any] = []
        self.taken = 0
        self._share = share
        self._target = target
        self._values: dict[str, set[Any]] = {}

    @property
    def rows(self) -> int:
        """Return how many are held out."""
        return sum(one.num_rows for one in self.batches)

    def table(self) -> Any:
        """Return the rows as one Arrow table, None if there are none."""
        import pyarrow as pa

        parts = [
            one if isinstance(one, pa.Table) else pa.Table.from_batches([one])
            for one in self.batches
        ]
        return pa.concat_tables(parts) if self.rows else None

    def restore(self, table: Any, taken: int) -> None:
        """Go on with rows that were held out of the first `taken` rows."""
        self.batches, self.taken = [table], taken
        self._look(table)

    def split(self, data: Any, *, whole: bool) -> Any:
        """Keep the rows of a table or batch that are held out; return the others.

        `whole`: these are all rows of the job, so that some are held out of few, and none takes all
        rows of a class with it.
        """
        self.taken += data.num_rows
        self._look(data)
        if not self._share or self.rows >= MOST or (whole and data.num_rows < LEAST):
            return data
        import numpy as np
        import pyarrow as pa

        found = row_hash.distinct(data)
        share = min(self._share, MOST / data.num_rows) if whole else self._share
        mask = found < np.uint64(int(share * 2**64))
        if whole:
            wanted = max(1, round(share * data.num_rows))
            if not 0.5 * wanted <= mask.sum() <= 1.5 * wanted:  # few rows
                mask = np.zeros(data.num_rows, bool)
                mask[np.argsort(found, kind="stable")[:wanted]] = True
            mask &= ~self._of_lost_classes(data, mask)
        self.batches.append(data.filter(pa.array(mask)))
        return data.filter(pa.array(~mask))

    def require_classes(self) -> None:
        """Raise DataInvalid if a target has the same value in all rows."""
        for name, values in self._values.items():
            if len(values) == 1 and self.taken > 1:
                raise DataInvalid(
                    f"target: column {name!r} is {next(iter(values))!r} in all {self.taken:,} "
                    "rows, so there is nothing to learn: expected at least two classes; wait for "
                    "days that bring others, or widen the source"
                )

    def _look(self, data: Any) -> None:
        """Note the first two values of each target."""
        import pyarrow.compute as pc

        for name in self._target:
            seen = self._values.setdefault(name, set())
            if len(seen) < 2:
                seen.update(pc.unique(data.column(name)).slice(0, 2).to_pylist())

    def _of_lost_classes(self, data: Any, mask: Any) -> Any:
        """Return which rows have a label that no row outside of the mask has."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        found = np.zeros(data.num_rows, bool)
        for name in self._target:
            column = data.column(name)
            if pa.types.is_dictionary(column.type):
                column = column.cast(column.type.value_type)
            labels = pc.unique(column)
            if len(labels) > MOST_CLASSES or _are_numbers(column, len(labels)):
                continue
            kept = pc.unique(column.filter(pa.array(~mask)))
            lost = labels.filter(pc.invert(pc.is_in(labels, value_set=kept)))
            if len(lost):
                found |= pc.is_in(column, value_set=lost).to_numpy(zero_copy_only=False)
        return found


def _are_numbers(column: Any, distinct: int) -> bool:
    """Return whether values are amounts, and no classes."""
    import pyarrow as pa

    if pa.types.is_floating(column.type):
        return True
    return bool(pa.types.is_integer(column.type)) and len(column) < 3 * distinct
