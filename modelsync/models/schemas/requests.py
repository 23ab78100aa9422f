"""Checks the data of requests by the schema of a model's folder, and types it.

A column that is absent is as one that is null: it becomes the column's fill value, or stays missing
where the column is nullable. Targets are dropped: a request asks for them. What a schema does not
know passes through, since `/all` sends the same variables to every model; but not a name that is a
column's in another spelling: that would be answered as if the column were missing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from modelsync import json_text
from modelsync.errors import InvalidField, VariablesInvalid
from modelsync.models.data_schema import ColumnRule, DataSchema
from modelsync.models.request_form import Rows
from modelsync.models.schemas import conversions, wording
from modelsync.models.schemas.checks import Check, check_of
from modelsync.models.schemas.conversions import Unfit
from modelsync.models.tables.table import Table, wrong
from modelsync.models.tables.table import shown as listed
from modelsync.observability.redaction import redacted

MAX_FIELDS = 100
"""Wrong columns that an answer names."""

MAX_MESSAGE = 500
"""Characters of what is wrong with a column."""

BY_PLACE = "x"
"""The variable that holds a row as a list, of models that were fitted without names."""


class _Column(NamedTuple):
    name: str
    check: Check
    rule: ColumnRule


class RequestSchema:
    """The columns that requests for one model have, in the order of its `schema.yml`.

    All methods raise VariablesInvalid, with one InvalidField for each column that does not fit.
    """

    def __init__(self, schema: DataSchema) -> None:
        self._columns = tuple(_Column(one.name, check_of(one), one) for one in schema.features)
        self._checks = tuple((one.name, one.check) for one in self._columns)
        self._all = tuple(one.name for one in schema.columns)
        self._targets = frozenset(one.name for one in schema.targets)
        self._known = frozenset(self._all)
        rules = [one.rule for one in self._columns]
        self._dtypes = {one.name: conversions.dtype(one) for one in rules if one.type != "category"}
        self._categories = {
            one.name: conversions.members(one)
            for one in rules
            if one.type == "category" and one.allowed
        }

    @property
    def names(self) -> list[str]:
        """The columns that the model predicts from."""
        return [one.name for one in self._columns]

    def typed(self, given: Any) -> Any:
        """Return the variables or the table of a request; all else as it is."""
        if type(given) is dict:
            return self.variables(given)
        if type(given) is Table:
            return self.table(given)
        return self._rows(given) if type(given) is Rows else given

    def _rows(self, given: Rows) -> Rows:
        """Return the variables of several rows. Raises VariablesInvalid for the first wrong one."""
        found = Rows()
        for index, row in enumerate(given):
            try:
                found.append(self.variables(row))
            except VariablesInvalid as error:
                fields = [InvalidField(f"{index}.{one.field}", one.message) for one in error.fields]
                raise VariablesInvalid(fields) from None
        return found

    # --- one row ----------------------------------------------------------------------------------

    def variables(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return one row: the columns in their order, then what the schema does not know."""
        get = given.get
        found = {}
        try:
            for name, check in self._checks:
                found[name] = check(get(name))
        except Unfit:
            if (row := self._by_place(given)) is not None:
                return self.variables(row)
            raise self._invalid(given) from None
        return found if self._known.issuperset(given) else self._with_more(found, given)

    def _with_more(self, found: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """Add what the schema does not know."""
        if (row := self._by_place(given)) is not None:
            return self.variables(row)
        if wrong := self._misspelt(given, lambda name: name):
            raise VariablesInvalid(wrong)
        more = {name: value for name, value in given.items() if name not in self._known}
        return {**found, **more}

    def _by_place(self, given: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the row that `{"x": [...]}` holds; None for variables with names."""
        values = given.get(BY_PLACE)
        if not isinstance(values, list) or not self._known.isdisjoint((*given, BY_PLACE)):
            return None
        names = self._placed(len(values), f"is a list of {len(values)} values", BY_PLACE)
        more = {name: value for name, value in given.items() if name != BY_PLACE}
        return {**more, **dict(zip(names, values, strict=True))}

    def _placed(self, count: int, came: str, field: str) -> Sequence[str]:
        """Return the names of values without names: of the features, or of all columns."""
        if count == len(self._columns):
            return self.names
        if count == len(self._all):
            return self._all
        raise wrong(field, f"{came}; a row has {len(self._columns)}: {listed(self.names)}")

    def _invalid(self, given: Mapping[str, Any]) -> VariablesInvalid:
        """Return the error for variables of which at least one column does not fit."""
        failed = self._misspelt(given, lambda name: name)
        named = {one.field for one in failed}
        for name, check, rule in self._columns:
            try:
                check(given.get(name))
            except Unfit:
                if name not in named:
                    failed.append(_field(name, _message(rule, name in given, given.get(name))))
        return _refused(failed)

    def _misspelt(
        self, given: Mapping[str, Any], place: Callable[[str], str]
    ) -> list[InvalidField]:
        """Return the columns that are absent, and are there in another spelling."""
        more = [name for name in given if name not in self._known]
        found = []
        for name, _, rule in self._columns if more else ():
            if name not in given and (other := wording.misspelt(name, more)):
                message = f"expected {wording.expected(rule)}; it is missing, but there is"
                found.append(_field(place(name), f"{message} {wording.shown(other)}"))
        return found

    # --- several rows -----------------------------------------------------------------------------

    def table(self, table: Table) -> Table:
        """Return a table with the columns in their order, then those the schema does not know.

        Columns without names have those of the schema, in its order.
        """
        given = self._named(table)
        columns: dict[str, list[Any]] = {}
        failed = self._misspelt(given, table.field)
        named = {one.field for one in failed}
        for name, check, rule in self._columns:
            values = given[name] if name in given else [None] * table.rows
            try:
                columns[name] = [check(value) for value in values]
            except Unfit:
                if table.field(name) not in named:
                    message = _message_of_rows(rule, check, values, name in given)
                    failed.append(_field(table.field(name), message))
        if failed:
            raise _refused(failed)
        more = {name: values for name, values in given.items() if name not in self._known}
        found = table.with_columns({**columns, **more})
        found.dtypes, found.categories = {**table.dtypes, **self._dtypes}, self._categories
        return found

    def _named(self, table: Table) -> Mapping[str, list[Any]]:
        """Return the columns of a table by the names of the schema."""
        if table.named and not self._is_numbered(table):
            return table
        columns = list(table.values())
        if table.flat and len(self._columns) != 1:
            values = columns[0]
            came = f"is a list of {len(values)} values"
            names = self._placed(len(values), came, table.member)
            return {name: [value] for name, value in zip(names, values, strict=True)}
        names = self._placed(len(columns), f"has rows of {len(columns)} values", table.member)
        return dict(zip(names, columns, strict=True))

    def _is_numbered(self, table: Table) -> bool:
        """Return whether the columns have the names that pandas gives to those without one."""
        return self._known.isdisjoint(table) and list(table) == list(map(str, range(len(table))))

    # --- a query ----------------------------------------------------------------------------------

    def query(
        self, fields: Mapping[str, Sequence[str]], others: Collection[str] = ()
    ) -> dict[str, Any]:
        """Return the variables of a query string, still as texts, which `variables` converts.

        An empty value is a missing one, but for a text that must not be missing. `others`: names
        that the model takes besides; their values are JSON, or else texts.
        """
        found: dict[str, Any] = {}
        failed = []
        rules = {name: rule for name, _, rule in self._columns}
        for name, texts in fields.items():
            if name not in self._known and name not in others:
                failed.append(_field(name or "variables", self._unknown(name, others)))
            elif len(texts) > 1:
                failed.append(_field(name, f"expected once; it came {len(texts)} times"))
            elif name in rules:
                found[name] = _text(texts[0], rules[name])
            elif name not in self._targets:
                found[name] = _value(texts[0])
        if failed:
            raise _refused(failed)
        return found

    def _unknown(self, name: str, others: Collection[str]) -> str:
        taken = [*self.names, *(one for one in others if one not in self._known)]
        near = wording.meant(name, taken)
        return f"the model has no such parameter{near or f'; it takes {listed(taken)}'}"


def _text(text: str, rule: ColumnRule) -> str | None:
    if text.strip() == "":
        return None if rule.takes_missing or rule.type != "str" else text
    return None if text in ("null", "NaN", "nan") and rule.type not in ("str", "category") else text


def _value(text: str) -> Any:
    try:
        return json_text.loads(text)
    except json_text.JSONDecodeError:
        return text


# --- messages -------------------------------------------------------------------------------------


def _message(rule: ColumnRule, is_there: bool, value: Any) -> str:
    text = f"expected {wording.expected(rule)}"
    if not is_there:
        return f"{text}; it is missing"
    return f"{text}; came {wording.shown(value)}{wording.meant(value, rule.allowed)}"


def _message_of_rows(rule: ColumnRule, check: Check, values: Sequence[Any], is_there: bool) -> str:
    """Return what is wrong with a column: the values that do not fit, and the first of them."""
    if not is_there:
        return _message(rule, is_there, None)
    bad = [row for row, value in enumerate(values) if not _is_taken(check, value)]
    value = values[bad[0]]
    text = f"expected {wording.expected(rule)}; came {wording.shown(value)} in row {bad[0]}"
    if len(bad) > 1:
        more = ", ".join(map(str, bad[1:10]))
        text += f", and others in rows {more}; {len(bad)} of {len(values)} values do not fit"
    return f"{text}{wording.meant(value, rule.allowed)}"


def _is_taken(check: Check, value: Any) -> bool:
    try:
        check(value)
    except Unfit:
        return False
    return True


def _field(name: str, message: str) -> InvalidField:
    return InvalidField(redacted(name, MAX_MESSAGE), redacted(message, MAX_MESSAGE))


def _refused(failed: Sequence[InvalidField]) -> VariablesInvalid:
    if len(failed) > MAX_FIELDS:
        more = InvalidField("variables", f"{len(failed) - MAX_FIELDS} more columns do not fit")
        failed = [*failed[:MAX_FIELDS], more]
    return VariablesInvalid(failed)
