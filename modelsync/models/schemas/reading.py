"""Reads `schema.yml`: the columns of a model's data, and what their values must be.

YAML 1.1 takes `no` and `off` for false and 01234 for a number in octal (https://yaml.org/type/).
The names of columns and the values of texts are what is written in the file all the same.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from modelsync.models.convention import SCHEMA
from modelsync.models.data_schema import COLUMN_TYPES, ColumnRule, ColumnType, DataSchema
from modelsync.models.schemas import values
from modelsync.models.schemas.document import (
    Document,
    Invalid,
    Member,
    is_list,
    is_mapping,
    is_scalar,
    shown,
)
from modelsync.models.types import Fault

MAX_BYTES = 1024**2
"""Bytes of the file; a thousand columns take 100 KB."""

COLUMNS = "columns"
"""The key below which the columns may stand, as a mapping or as a list of items with a `name`."""

BESIDE = ("version", "name", "title", "description", "model", "dataset")
"""Keys that may stand beside it, for people."""

KEYS = (
    "type", "nullable", "na_value", "min", "max", "range", "allowed", "pattern", "encoding",
    "target", "format", "description",
)  # fmt: skip
"""The keys of a column."""

ALIASES = {
    "fill": "na_value", "fill_value": "na_value", "minimum": "min", "maximum": "max",
    "enum": "allowed", "values": "allowed", "regex": "pattern",
}  # fmt: skip

EMPTY = "write a column, such as `age: {type: float}`"


def read(text: bytes, file: str = SCHEMA) -> DataSchema | Fault:
    """Return what a `schema.yml` says of the columns, or the fault of stage `static` in it."""
    if len(text) > MAX_BYTES:
        return Fault("static", f"expected at most {MAX_BYTES >> 10} KB", file)
    try:
        return _schema(Document(text))
    except Invalid as error:
        return Fault("static", str(error), file, error.line, error.hint or None)
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        return Fault("static", "is no text in UTF-8", file, line, "save it with that encoding")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"is no YAML: {error.problem or error.context}"
        hint = "indent with blanks, not with tabs" if r"\t" in message else None
        return Fault("static", message, file, mark.line + 1 if mark else None, hint)
    except (yaml.YAMLError, RecursionError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        return Fault("static", f"is no YAML: {reason:.200}", file)


def _schema(document: Document) -> DataSchema:
    if document.root is None:
        raise Invalid("has no column", hint=EMPTY)
    columns = tuple(_column(document, *one) for one in _columns(document, document.root))
    if not columns:
        raise Invalid("has no column", document.root, EMPTY)
    if all(one.target for one in columns):
        hint = "a model predicts a target from other columns: set `target: false` for these"
        raise Invalid("every column is a target", document.root, hint)
    return DataSchema(columns)


# --- where the columns stand ----------------------------------------------------------------------


def _columns(document: Document, node: yaml.Node) -> Iterator[tuple[Member, list[Member]]]:
    """Yield each column with its keys: of a mapping, a list, or either below `columns`."""
    if is_list(node):
        yield from _listed(document, node)
        return
    found = document.entries(node, "a mapping of columns")
    below = next((one for one in found if one.key == COLUMNS), None)
    if below is not None and not _is_column(below.value):
        for one in found:
            if one is not below and one.key not in BESIDE:
                hint = f"move it below {COLUMNS}"
                raise Invalid(f"{one.key!r} stands beside {COLUMNS}", one.node, hint)
        yield from _columns(document, below.value)
        return
    for one in found:
        yield one, _keys(document, one)


def _is_column(node: yaml.Node) -> bool:
    """Return whether a node tells of one column whose name is `columns`."""
    return is_scalar(node) or (
        is_mapping(node)
        and any(key.value == "type" and is_scalar(value) for key, value in node.value)
    )


def _listed(document: Document, node: yaml.Node) -> Iterator[tuple[Member, list[Member]]]:
    """Yield the columns of a list of items such as `- name: age`."""
    seen: set[str] = set()
    for item in document.items(node, "a list of columns"):
        keys = document.entries(item, "a column such as `- name: age`")
        named = next((one for one in keys if one.key == "name"), None)
        if named is None or not is_scalar(named.value):
            raise Invalid("a column of the list has no name", item, "begin it with `- name: ...`")
        name = named.value.value
        if name in seen:
            raise Invalid(f"{name!r} stands here for the second time", item)
        seen.add(name)
        yield Member(name, named.value, item), [one for one in keys if one is not named]


def _keys(document: Document, column: Member) -> list[Member]:
    """Return the keys of a column; `age: float` names its type alone."""
    if is_scalar(column.value) and column.value.value:
        return [Member("type", column.node, column.value)]
    return document.entries(column.value, f"keys of column {column.key!r} such as `type: float`")


# --- one column -----------------------------------------------------------------------------------


def _column(document: Document, column: Member, entries: list[Member]) -> ColumnRule:
    """Return the rule of a column. Raises Invalid, which names the column and the line."""
    try:
        if not column.key:
            raise Invalid("it has no name", column.node)
        return _Column(document, column, entries).rule()
    except Invalid as error:
        error.args = (f"column {column.key!r}: {error}",)
        raise


class _Column:
    """The keys of one column, by their first names."""

    def __init__(self, document: Document, column: Member, entries: list[Member]) -> None:
        self._document = document
        self._column = column
        self._found: dict[str, Member] = {}
        for entry in entries:
            key = ALIASES.get(entry.key, entry.key)
            if key not in KEYS:
                hint = _near(entry.key, (*KEYS, *ALIASES), KEYS)
                raise Invalid(f"{entry.key!r} is no key of a column", entry.node, hint)
            if key in self._found:
                other = self._found[key].key
                raise Invalid(f"{entry.key} and {other} mean the same", entry.node, "keep one")
            self._found[key] = entry

    def rule(self) -> ColumnRule:
        """Return the rule. Raises Invalid."""
        kind = self._type()
        fill = self._fill(kind)
        missing = values.is_nan(fill)  # `na_value: .nan`: a missing value stays one
        low, high = self._bounds()
        made = ColumnRule(
            self._column.key,
            kind,
            nullable=self._flag("nullable") or missing,
            fill=None if missing else fill,
            minimum=self._bound(low, kind),
            maximum=self._bound(high, kind),
            allowed=self._allowed(kind),
            pattern=self._text("pattern"),
            encoding=self._text("encoding"),
            target=self._flag("target"),
            format=self._text("format"),
            description=self._text("description"),
        )
        for key, message in values.contradictions(made):
            raise Invalid(message, (self._found.get(key) or self._found["range"]).value)
        return made

    def _type(self) -> ColumnType:
        written = self._text("type")
        if not written:
            hint = f"one of {', '.join(COLUMN_TYPES)}"
            raise Invalid("it has no type", self._column.node, hint)
        if kind := values.type_of(written.strip()):
            return kind
        hint = _near(written, (*COLUMN_TYPES, *values.ALIASES), COLUMN_TYPES)
        raise Invalid(f"expected a type, came {written!r}", self._found["type"].value, hint)

    def _text(self, key: str) -> str:
        """Return what is written; empty without the key, or for null."""
        entry = self._found.get(key)
        if entry is None or self._document.value(entry.value) is None:
            return ""
        return str(entry.value.value)

    def _flag(self, key: str) -> bool:
        entry = self._found.get(key)
        value = self._document.value(entry.value) if entry else False
        if entry is not None and not isinstance(value, bool):
            message = f"{key}: expected true or false, came {shown(entry.value)}"
            raise Invalid(message, entry.value)
        return bool(value)

    def _fill(self, kind: ColumnType) -> Any:
        """Return what takes the place of a missing value, nan where it stays missing."""
        entry = self._found.get("na_value")
        if entry is None:
            return None
        value = self._document.value(entry.value)
        if value is None or values.is_nan(value) or str(value).lower() in ("nan", "nat"):
            return None if value is None and entry.value.value == "" else math.nan
        return self._typed(kind, entry.value, entry.key)

    def _bounds(self) -> tuple[yaml.Node | None, yaml.Node | None]:
        """Return the nodes of the least and the greatest value."""
        entry = self._found.get("range")
        if entry is None:
            low, high = self._found.get("min"), self._found.get("max")
            return low and low.value, high and high.value
        for key in ("min", "max"):
            if key in self._found:
                raise Invalid(f"range and {key} stand side by side", entry.node, "keep one")
        nodes = self._document.items(entry.value, "range: two values, [min, max]")
        if len(nodes) != 2:
            raise Invalid(f"range: expected two values, came {len(nodes)}", entry.value)
        return nodes[0], nodes[1]

    def _bound(self, node: yaml.Node | None, kind: ColumnType) -> Any:
        if node is None:
            return None
        value = self._document.value(node)
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            return None
        if kind == "int" and isinstance(value, float):
            kind = "float"  # whole numbers above 0.5
        return self._typed(kind, node, "min and max")

    def _allowed(self, kind: ColumnType) -> tuple[Any, ...]:
        entry = self._found.get("allowed")
        if entry is None:
            return ()
        nodes = self._document.items(entry.value, f"{entry.key}: a list of values")
        if not nodes:
            raise Invalid(f"{entry.key}: expected at least one value", entry.value)
        found = tuple(self._typed(kind, node, entry.key) for node in nodes)
        if kind == "category" and any(isinstance(one, str) for one in found):
            return tuple(self._typed("str", node, entry.key) for node in nodes)
        return found

    def _typed(self, kind: ColumnType, node: yaml.Node, key: str) -> Any:
        try:
            return values.typed(kind, self._document.value(node), node.value)
        except (ValueError, OverflowError):
            expected = values.EXPECTED[kind]
            raise Invalid(f"{key}: expected {expected}, came {shown(node)}", node) from None


def _near(word: str, known: Iterable[str], listed: Iterable[str]) -> str:
    """Return the hint which known word is meant, or which ones there are."""
    close = difflib.get_close_matches(word.lower(), list(known), 1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(listed)}"
