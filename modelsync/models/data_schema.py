"""What a folder says of its data, in `schema.yml` and in attributes of its class. Pure data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

ColumnType = Literal["int", "float", "str", "bool", "date", "time", "datetime", "category"]

COLUMN_TYPES: tuple[ColumnType, ...] = get_args(ColumnType)


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """What the values of one column must be.

    `nullable`: a value may be missing, and then is. `fill` takes the place of a missing value, None
    for none; a column with it takes missing values though it is not `nullable`. `minimum` and
    `maximum` are inclusive: numbers, or texts of ISO 8601 for dates and times. `allowed`: all
    values that there are, empty for any. `pattern`: a regular expression that a text must match
    whole.
    `encoding`: how the model encodes it, such as OneHotEncoder; modelsync only passes it on.
    `target`: it is what the model predicts, so that requests lack it. `format`: of dates and times,
    in the notation of strftime(3); empty for ISO 8601.
    """

    name: str
    type: ColumnType
    nullable: bool = False
    fill: Any = None
    minimum: Any = None
    maximum: Any = None
    allowed: tuple[Any, ...] = ()
    pattern: str = ""
    encoding: str = ""
    target: bool = False
    format: str = ""
    description: str = ""

    @property
    def takes_missing(self) -> bool:
        """Whether a value may be missing in data and requests."""
        return self.nullable or self.fill is not None


@dataclass(frozen=True, slots=True)
class DataSchema:
    """The columns of `schema.yml`, in its order. Data may have others, which are not used."""

    columns: tuple[ColumnRule, ...]

    @property
    def features(self) -> tuple[ColumnRule, ...]:
        """The columns that the model predicts from."""
        return tuple(one for one in self.columns if not one.target)

    @property
    def targets(self) -> tuple[ColumnRule, ...]:
        """The columns that the model predicts."""
        return tuple(one for one in self.columns if one.target)


def as_mapping(schema: DataSchema) -> dict[str, dict[str, Any]]:
    """Return the columns as plain mappings, by their names: the `self.schema` of a model."""
    found = {one.name: asdict(one) for one in schema.columns}
    for facts in found.values():
        del facts["name"]
        facts["allowed"] = list(facts["allowed"])
    return found


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """How a class is trained by itself: attributes of these names whose values are literals.

    `source`: where the data comes from, as `data.sources` reads it; of several, the first that is
    there. `{date}` in it is the day, YYYY-MM-DD. `target`: the columns that are y, unless
    `schema.yml` names them. `incoming`: what a day brings, files or a query with `{date}`; a method
    `fill(self, date)` takes its place. `table`: where that is kept. `metric`: the metric that
    decides which version serves. `greater_is_better`: None where its name decides. `test_size`: the
    share of the rows that is held out to evaluate with, from 0 (none) to below 1. `takes_rows`: the
    class's `train` takes the rows of the source, as `data`.
    """

    source: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    incoming: str = ""
    table: str = ""
    metric: str = ""
    greater_is_better: bool | None = None
    test_size: float = 0.2
    takes_rows: bool = False


NO_PLAN = TrainingPlan()


@dataclass(frozen=True, slots=True)
class Violation:
    """One rule that values of a column break. `rule` is the key in `schema.yml`, such as `type`,
    `nullable`, `minimum`, `allowed`; or `missing` for a column that is not there.

    `count`: rows that break it. `examples`: up to ten of them, as (row from 0, value as JSON).
    """

    column: str
    rule: str
    expected: str
    count: int
    examples: tuple[tuple[int, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnChange:
    """How one column differs from the last good data."""

    column: str
    change: Literal["appeared", "disappeared", "type"]
    before: str = ""
    now: str = ""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What the check of some data has found. `rows`: how many there are. `source`: of which data.

    `fingerprint`: the digest of the rows in hex, the same for the same rows in the same order.
    `columns`: the types of all columns that the data has, as Arrow calls them.
    """

    source: str
    rows: int
    fingerprint: str = ""
    violations: tuple[Violation, ...] = ()
    changes: tuple[ColumnChange, ...] = ()
    columns: dict[str, str] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the data may train a model."""
        return not self.violations
