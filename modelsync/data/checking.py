"""Checks data by its schema: batch by batch, so that it may be larger than memory.

pandera runs the rules of the columns over each Arrow batch; rows that break one are counted, and
the first ones kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from modelsync.data.column_rules import ValueRule, of_type, value_rules
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

if TYPE_CHECKING:
    from pandera.api.pyarrow.container import DataFrameSchema

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
    found = _Check(schema, [one.name for one in source.columns])
    for batch in source.raw():
        found.add(batch)
        del batch  # before the next one is read
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
        self._schema = _pandera(self._values)

    def add(self, batch: pa.RecordBatch) -> None:
        """Check a batch, whose rows follow those before."""
        if not batch.num_rows:
            return
        values: dict[str, pa.Array] = {}
        unfit: dict[str, pa.Array] = {}
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            if (rule := self._rules.get(name)) is None:
                values[name] = column
                continue
            made = typed(column, rule)
            values[name] = made.values
            if made.unfit is not None:
                self._note(name, *of_type(rule), made.unfit, column)
                unfit[name] = made.unfit
        self.digest.add(values, batch.num_rows)
        for name, failed in self._failed(values):
            broken = failed.broken(values[name])
            if failed.key == "nullable" and name in unfit:
                broken = pc.and_not(broken, unfit[name])
            self._note(name, failed.key, failed.expected, broken, values[name])
        self.rows += batch.num_rows

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

    def _failed(self, values: Mapping[str, pa.Array]) -> list[tuple[str, ValueRule]]:
        """Return which rules some value breaks, as pandera finds it."""
        from pandera.errors import SchemaErrorReason, SchemaErrors

        if self._schema is None:
            return []
        table = pa.table({name: values[name] for name in self._rules})
        try:
            self._schema.validate(table, lazy=True)
        except SchemaErrors as errors:
            found = []
            for error in errors.schema_errors:
                if error.reason_code is SchemaErrorReason.CHECK_ERROR:
                    raise RuntimeError(str(error)) from None
                rules = self._values[error.schema.name]
                found.append((error.schema.name, rules[error.check_index]))
            return found
        return []

    def _note(self, name: str, key: str, expected: str, broken: pa.Array, shown: pa.Array) -> None:
        """Count rows that break a rule; `shown` has their values."""
        count = pc.sum(broken).as_py() or 0
        if not count:
            return
        found = self._found.setdefault((name, key), _Breaks(expected))
        for place in pc.indices_nonzero(broken)[: EXAMPLES - len(found.examples)].to_pylist():
            found.examples.append((self.rows + place, plain(shown[place].as_py())))
        found.count += count


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


# --- pandera --------------------------------------------------------------------------------------


def _pandera(columns: Mapping[str, list[ValueRule]]) -> DataFrameSchema | None:
    """Return the rules as a schema of pandera; None where there is none."""
    if not any(columns.values()):
        return None
    import pandera.pyarrow as pandera  # here: it takes seconds

    made = {
        name: pandera.Column(
            nullable=True,  # a rule of ours: pandera computes a mask for it
            checks=[
                pandera.Check(partial(_holds, rule.broken), native=True, name=rule.key)
                for rule in rules
            ],
        )
        for name, rules in columns.items()
    }
    return pandera.DataFrameSchema(made)


def _holds(broken: Any, data: Any) -> bool:
    """Return whether no value of a column breaks a rule."""
    [column] = data.table.column(data.key).chunks
    return not pc.any(broken(column)).as_py()
