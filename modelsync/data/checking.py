"""Checks data by its schema: batch by batch, so that it may be larger than memory.

pandera runs the rules of the columns over each Arrow batch; rows that break one are counted, and
the first ones kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from modelsync.data.column_checks import ColumnChecks
from modelsync.data.column_rules import of_type, value_rules
from modelsync.data.content_digest import ContentDigest
from modelsync.data.record_batches import meant
from modelsync.data.typed_columns import typed
from modelsync.models.data_schema import (
    CheckReport,
    ColumnChange,
    ColumnRule,
    DataSchema,
    Violation,
)

AT_ONCE = 200_000
"""Rows that pandera is given at a time: a call of it takes milliseconds."""

EXAMPLES = 10
"""Rows that are shown of those that break a rule."""

MAX_TEXT = 200
"""Characters of a value that is shown."""


class Checkable(Protocol):
    """What a check reads: its name, its columns, and its rows, as `DataSource` has them."""

    name: str

    @property
    def columns(self) -> pa.Schema:
        """Return all columns that the data has."""

    def raw(self) -> Iterator[pa.RecordBatch]:
        """Read all rows."""


def check(
    source: Checkable,
    schema: DataSchema | None,
    *,
    name: str = "",
    before: Mapping[str, str] | None = None,
) -> CheckReport:
    """Read all rows of a source and return what breaks the schema, and what has changed.

    `name`: what the report calls the data, by default its source. `before`: the types of the
    columns of the last good data, by name. Raises DataInvalid if the data cannot be read, and
    StoreUnavailable.
    """
    found = _Check(schema, source.columns.names)
    with ThreadPoolExecutor(1, "modelsync-digest") as digesting:
        for batch in source.raw():
            found.add(batch, digesting)
            del batch  # before the next one is read
    found.flush()
    columns = {one.name: str(one.type) for one in source.columns}
    return CheckReport(
        source=name or source.name,
        rows=found.rows,
        fingerprint=found.digest.hexdigest(),
        violations=tuple(found.violations()),
        changes=changes(before, columns) if before else (),
        columns=columns,
    )


def changes(before: Mapping[str, str], now: Mapping[str, str]) -> tuple[ColumnChange, ...]:
    """Return how the columns of data, with their types by name, differ from those before.

    A column without any value has no type, so that this is no change.
    """
    found = [ColumnChange(one, "disappeared", before[one]) for one in before if one not in now]
    found += [ColumnChange(one, "appeared", now=now[one]) for one in now if one not in before]
    found += [
        ColumnChange(one, "type", before[one], now[one])
        for one in now
        if one in before and before[one] != now[one] and "null" not in (before[one], now[one])
    ]
    return tuple(found)


class _Check:
    """What is found in the batches so far. `columns`: the names that the data has."""

    def __init__(self, schema: DataSchema | None, columns: list[str]) -> None:
        self.rows = 0
        self.digest = ContentDigest()
        self._found: dict[tuple[str, str], _Breaks] = {}
        self._rules: dict[str, ColumnRule] = {}
        self._missing: list[Violation] = []
        for rule in schema.columns if schema else ():
            if rule.name in columns:
                self._rules[rule.name] = rule
            else:
                expected = f"a column of this name{meant(rule.name, columns)}"
                self._missing.append(Violation(rule.name, "missing", expected, 0))
        self._values = {name: value_rules(rule) for name, rule in self._rules.items()}
        self._checks = ColumnChecks(self._values) if any(self._values.values()) else None
        self._waiting: list[_Part] = []
        self._digested: Future[None] | None = None

    def add(self, batch: pa.RecordBatch, digesting: Executor) -> None:
        """Check a batch, whose rows follow those before."""
        if not batch.num_rows:
            return
        part = _Part(self.rows, batch.num_rows, {}, {})
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if (rule := self._rules.get(name)) is None:
                part.values[name] = column
                continue
            part.values[name], unfit = typed(column, rule)
            if unfit is not None:
                part.unfit[name] = unfit
                self._note(part.row, name, *of_type(rule), unfit, column)
        if self._digested:
            self._digested.result()
        self._digested = digesting.submit(self.digest.add, part.values, part.rows)
        if self._waiting and self._waiting[0].types != part.types:
            self.flush()
        self._waiting.append(part)
        self.rows += part.rows
        if self.rows - self._waiting[0].row >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Check the rules in the batches that wait for it."""
        waiting, self._waiting = self._waiting, []
        if not waiting or not self._checks:
            return
        names = [name for name in self._rules if name in waiting[0].values]
        table = pa.table({one: pa.chunked_array([p.values[one] for p in waiting]) for one in names})
        for name in self._checks.broken(table):
            for part in waiting:
                for rule in self._values[name]:
                    broken = rule.broken(part.values[name])
                    if rule.key == "nullable" and name in part.unfit:
                        broken = pc.and_not(broken, part.unfit[name])
                    self._note(part.row, name, rule.key, rule.expected, broken, part.values[name])

    def violations(self) -> Iterator[Violation]:
        """Yield what breaks the schema, column by column; data without a row breaks `rows`."""
        if not self.rows:
            yield Violation("", "rows", "at least one row", 0)
        yield from self._missing
        order = list(self._rules)
        for (name, key), one in sorted(
            self._found.items(), key=lambda item: order.index(item[0][0])
        ):
            yield Violation(name, key, one.expected, one.count, tuple(one.examples))

    def _note(
        self, row: int, name: str, key: str, expected: str, broken: pa.Array, shown: pa.Array
    ) -> None:
        """Count rows that break a rule; `shown` has their values, from that of `row` on."""
        count = pc.sum(broken).as_py() or 0
        if not count:
            return
        found = self._found.setdefault((name, key), _Breaks(expected))
        for place in pc.indices_nonzero(broken)[: EXAMPLES - len(found.examples)].to_pylist():
            found.examples.append((row + place, plain(shown[place].as_py())))
        found.count += count


class _Part(NamedTuple):
    """The columns of a batch in their types, with the values that are not of them.

    `row`: the number of the first of its `rows`.
    """

    row: int
    rows: int
    values: dict[str, pa.Array]
    unfit: dict[str, pa.Array]

    @property
    def types(self) -> list[pa.DataType]:
        """The types of the columns."""
        return [one.type for one in self.values.values()]


class _Breaks:
    """The rows that break one rule: how many, and the first ones."""

    def __init__(self, expected: str) -> None:
        self.expected = expected
        self.count = 0
        self.examples: list[tuple[int, Any]] = []


def plain(value: Any) -> Any:
    """Return a value of data as JSON, a long text cut off."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"
