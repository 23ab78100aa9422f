"""Describes the variables of requests in JSON Schema, by the schema of a model's folder.

JSON Schema 2020-12, as OpenAPI 3.1 has it: https://json-schema.org/draft/2020-12/json-schema-validation.
"""

from __future__ import annotations

from typing import Any

from modelsync.models.data_schema import ColumnRule, ColumnType, DataSchema
from modelsync.models.schemas import wording

_TYPES: dict[ColumnType, list[str]] = {
    "int": ["integer"],
    "float": ["number"],
    "str": ["string"],
    "bool": ["boolean"],
    "date": ["string"],
    "time": ["string"],
    "datetime": ["string"],
    "category": ["string", "number"],
}

_FORMATS: dict[ColumnType, str] = {"date": "date", "time": "time", "datetime": "date-time"}


def of(schema: DataSchema, signature: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the schema of the variables: the columns, then what the `signature` has besides.

    It has a sample as its example. `signature`: the schema that the model's method gives; None if
    that takes any object.
    """
    known = {one.name for one in schema.columns}
    given = dict(signature or {})
    more = {name: one for name, one in given.get("properties", {}).items() if name not in known}
    needed = [name for name in given.get("required", ()) if name in more]
    columns = schema.features
    return {
        **given,
        "type": "object",
        "properties": {**{one.name: column(one) for one in columns}, **more},
        "required": [*(one.name for one in columns if not one.takes_missing), *needed],
        **({} if needed else {"examples": [{one.name: sample(one) for one in columns}]}),
    }


def column(rule: ColumnRule) -> dict[str, Any]:
    """Return the schema of one column's values."""
    types = _TYPES[rule.type]
    if rule.type == "category" and rule.allowed:
        types = ["string"] * any(isinstance(one, str) for one in rule.allowed)
        types += ["number"] * any(not isinstance(one, str) for one in rule.allowed)
    if rule.takes_missing:
        types = [*types, "null"]
    found: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
    if rule.allowed:
        found["enum"] = [*rule.allowed, *([None] if rule.takes_missing else [])]
        if rule.fill is not None and rule.fill not in rule.allowed:
            found["enum"].append(rule.fill)
    if rule.type in _FORMATS and not rule.format:
        found["format"] = _FORMATS[rule.type]
    elif rule.type not in _FORMATS:
        limits = (("minimum", rule.minimum), ("maximum", rule.maximum))
        found |= {key: limit for key, limit in limits if limit is not None}
    if rule.pattern:
        found["pattern"] = f"^(?:{rule.pattern})$"  # JSON Schema's need not match the whole text
    if rule.fill is not None:
        found["default"] = rule.fill
    if text := about(rule):
        found["description"] = text
    return found


def about(rule: ColumnRule) -> str:
    """Return the description of the column, with what JSON Schema has no keyword for."""
    more = []
    if rule.format:
        more.append(f"In the format `{rule.format}`, such as {sample(rule)}.")
    if rule.type in _FORMATS and (rule.minimum, rule.maximum) != (None, None):
        more.append(f"{wording.limits(rule).strip().capitalize()}.")
    return " ".join([rule.description, *more]).strip()


def sample(rule: ColumnRule) -> Any:
    """Return a value that the column takes, as a request has it."""
    if rule.allowed:
        return next((one for one in rule.allowed if one != ""), rule.allowed[0])
    if rule.type in ("int", "float"):
        return _number(rule)
    if rule.type == "bool":
        return True
    if rule.type in _FORMATS:
        return wording.sample_time(rule)
    return rule.fill if rule.pattern and rule.fill is not None else "text"


def _number(rule: ColumnRule) -> float:
    """Return 1, or the number nearest to it within the limits."""
    number: float = 1
    if rule.minimum is not None:
        number = max(number, rule.minimum)
    if rule.maximum is not None:
        number = min(number, rule.maximum)
    return int(number) if rule.type == "int" else float(number)
