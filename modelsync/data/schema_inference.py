"""Writes a first `schema.yml` for some data: the types, what is missing, the values there are.

It reads all rows, batch by batch. What a range may be no data tells, so it is a comment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from modelsync.data.sources import DataSource
from modelsync.models.data_schema import ColumnRule, ColumnType, DataSchema
from modelsync.models.schemas.conversions import Unfit, converter

MAX_ALLOWED = 20
"""Distinct texts of a column that are listed as all there are."""

REPEATED = 5
"""How often each must occur, on average, for that."""

MAX_DISTINCT = 1000
"""Distinct values of a column that are kept."""

FORMATS = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y/%m/%d", "%d-%m-%Y", "%Y%m%d")
"""Dates that are none of ISO 8601; the first that fits all values is taken."""

Examine = Callable[[DataSchema | None], DataSource]
"""Finds the data, to be read by a schema."""

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_ ]*[A-Za-z0-9_]|[A-Za-z_]")
_WORDS = {"null", "yes", "no", "on", "off", "true", "false"}


def infer(examine: Examine, target: Collection[str] = ()) -> str:
    """Return the text of a `schema.yml` which the data fits. `target`: the columns that are y.

    Raises DataInvalid and StoreUnavailable.
    """
    source = examine(None)
    columns = {name: InferredColumn(name) for name in source.columns.names}
    for batch in source.raw():
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            columns[name].add(values)
    for name in _padded(examine, [one for one in columns.values() if one.is_whole]):
        columns[name].is_text = True
    rows = max((one.rows for one in columns.values()), default=0)
    head = (
        f"# Made from {rows:,} rows of {source.name}: read it, and correct it, before you use it."
    )
    lines = [head]
    for one in columns.values():
        lines += one.lines(target=one.name in target)
    return "\n".join(lines) + "\n"


def _padded(examine: Examine, whole: list[InferredColumn]) -> Iterator[str]:
    """Yield the columns of whole numbers that are texts in a file, some with leading zeros.

    01234 is a zip code, and would become 1234.
    """
    rules = tuple(ColumnRule(one.name, "str") for one in whole)
    source = examine(DataSchema(rules)) if rules else None
    waiting = {one.name for one in whole}
    for batch in source.raw() if source else ():
        for name in sorted(waiting):
            values = batch.column(name)
            if not pa.types.is_string(values.type):
                waiting.discard(name)
            elif pc.any(pc.match_substring_regex(values, r"^\s*-?0[0-9]")).as_py():
                waiting.discard(name)
                yield name
        if not waiting:
            return


class InferredColumn:
    """What the values of a column are, so far. `is_text`: they are texts that look like numbers."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows = self.missing = 0
        self.is_text = False
        self._kind: pa.DataType = pa.null()
        self._low: Any = None
        self._high: Any = None
        self._distinct: dict[Any, None] = {}
        self._whole = self._midnight = True  # of the values so far

    @property
    def is_whole(self) -> bool:
        """Whether all values are whole numbers."""
        if self._low is None:
            return False
        kind = self._kind
        return pa.types.is_integer(kind) or (pa.types.is_floating(kind) and self._whole)

    def add(self, values: pa.Array) -> None:
        """Add values."""
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        if pa.types.is_decimal(values.type):
            values = values.cast(pa.float64(), safe=False)
        self.rows += len(values)
        known = values.drop_null()
        if pa.types.is_floating(known.type):
            known = known.filter(pc.is_finite(known))
        self.missing += len(values) - len(known)
        if len(known) or pa.types.is_null(self._kind):
            self._kind = known.type
        if not len(known):
            return
        if not _is_ordered(known.type):
            self._note(known)
            return
        bounds = pc.min_max(known).as_py()
        self._low = bounds["min"] if self._low is None else min(self._low, bounds["min"])
        self._high = bounds["max"] if self._high is None else max(self._high, bounds["max"])
        if pa.types.is_floating(known.type):
            self._whole = self._whole and pc.all(pc.equal(known, pc.floor(known))).as_py()
        if pa.types.is_timestamp(known.type):
            days = pc.equal(known, pc.floor_temporal(known, unit="day"))
            self._midnight = self._midnight and pc.all(days).as_py()

    def _note(self, known: pa.Array) -> None:
        """Keep the distinct values, unless they are too many."""
        if len(self._distinct) <= MAX_DISTINCT and pa.types.is_string(known.type):
            found = pc.unique(known)[: MAX_DISTINCT + 1].to_pylist()
            self._distinct |= dict.fromkeys(found)

    # --- what is written --------------------------------------------------------------------------

    def lines(self, *, target: bool) -> list[str]:
        """Return the lines of the column."""
        kind, form = self._type()
        allowed = self._allowed() if kind == "str" else []
        found = [f"{_yaml(self.name)}:", f"  type: {kind}{self._range(kind)}"]
        if form:
            found.append(f"  format: {_yaml(form)}")
        if allowed:
            found.append(f"  allowed: [{', '.join(map(_yaml, allowed))}]")
        if self.missing:
            found.append(f"  nullable: true  # {self.missing:,} of {self.rows:,} are missing")
        if target:
            found.append("  target: true")
        return found

    def _type(self) -> tuple[ColumnType, str]:
        """Return the type, and the format of dates that are not in ISO 8601."""
        kind = self._kind
        if self.is_text:
            return "str", ""
        if pa.types.is_boolean(kind):
            return "bool", ""
        if self.is_whole:
            return "int", ""
        if pa.types.is_floating(kind):
            return "float", ""
        if pa.types.is_date(kind) or (pa.types.is_timestamp(kind) and self._midnight):
            return "date", ""
        if pa.types.is_timestamp(kind):
            return "datetime", ""
        if pa.types.is_time(kind):
            return "time", ""
        return self._type_of_texts()

    def _type_of_texts(self) -> tuple[ColumnType, str]:
        texts = [one.strip() for one in self._distinct]
        if not texts:
            return "str", ""
        if len(texts) == 2 and _all_fit(texts, ColumnRule("", "bool")):
            return "bool", ""
        for form in FORMATS:
            if _all_fit(texts, ColumnRule("", "date", format=form)):
                return "date", form
        return "str", ""

    def _allowed(self) -> list[str]:
        """Return all texts, if they are few and each comes again and again."""
        count = len(self._distinct)
        few = 0 < count <= MAX_ALLOWED and count * REPEATED <= self.rows - self.missing
        return list(self._distinct) if few else []

    def _range(self, kind: ColumnType) -> str:
        if self.rows == self.missing:
            return "  # no value in any row"
        if self._low is None or kind == "str":
            return ""
        low, high = (_shown(one, kind) for one in (self._low, self._high))
        return f"  # from {low} to {high}"


def _is_ordered(kind: pa.DataType) -> bool:
    """Return whether values have a least and a greatest one."""
    kinds = pa.types
    return bool(
        kinds.is_integer(kind)
        or kinds.is_floating(kind)
        or kinds.is_date(kind)
        or kinds.is_time(kind)
        or kinds.is_timestamp(kind)
    )


def _all_fit(texts: list[str], rule: ColumnRule) -> bool:
    convert = converter(rule)
    try:
        return all(convert(one) is not None for one in texts)
    except Unfit:
        return False


def _shown(value: Any, kind: ColumnType) -> str:
    if kind == "int":
        return str(int(value))
    if kind == "date" and isinstance(value, datetime):
        value = value.date()
    return value.isoformat() if hasattr(value, "isoformat") else f"{value:.6g}"


def _yaml(text: str) -> str:
    """Return a text as YAML that no reader takes for anything else."""
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)
