"""Makes up a request from the schema of a model that has no examples, so that it is called once.

The values are plain: 1, 1.0, "text", the first of an enumeration, the least that a limit allows.
Of several types it is the first, a truth value only if there is no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelsync.models.types import LoadedModel

MAX_DEPTH = 10
"""Levels of nesting; a type may contain itself."""

DEEP = 3
"""Levels of nesting below which no list has several items: they would be too many together."""

MAX_ITEMS = 1000
"""Items of a list that is to have so many at least."""

MAX_TEXT = 100_000
"""Characters of a text that is to have so many at least."""

TEXTS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00",
    "duration": "PT1S",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.org/",
    "email": "somebody@example.org",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "byte": "AA==",
    "binary": "AA==",
}
"""A text of each format (JSON Schema Validation, section 7.3, and OpenAPI)."""

Schema = Mapping[str, Any]


def variables(model: LoadedModel) -> dict[str, Any] | None:
    """Return variables that fit the model's schema; None if nothing tells what it takes."""
    if model.schema is None:
        return None
    return _object(_resolved(model.schema, model.schema), model.schema, 0)


def _value(schema: Schema, root: Schema, depth: int) -> Any:
    """Return a value that fits a schema whose references point into `root`."""
    schema = _resolved(schema, root)
    for name in ("const", "default"):
        if schema.get(name) is not None:
            return schema[name]
    for name in ("examples", "enum"):
        if given := [one for one in schema.get(name) or () if one is not None]:
            return given[0]
    for name in ("anyOf", "oneOf"):
        if options := schema.get(name):
            # A type that contains itself ends with null where that is allowed.
            chosen = [
                one for one in options if (one.get("type") != "null") == (depth < MAX_DEPTH // 2)
            ]
            chosen = chosen or list(options)
            # What may be many things, such as a feature of which nothing is known, is a number.
            chosen.sort(key=lambda one: one.get("type") == "boolean")
            return _value(chosen[0], root, depth)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    return _of_kind(kind, schema, root, depth)


def _of_kind(kind: str | None, schema: Schema, root: Schema, depth: int) -> Any:
    """Return a value of one of the types of JSON Schema; 1 where it says none."""
    match kind:
        case "integer" | "number":
            return _number(kind, schema)
        case "string":
            return _text(schema)
        case "boolean":
            return True
        case "array":
            return _array(schema, root, depth)
        case "null":
            return None
    return _object(schema, root, depth) if kind == "object" or "properties" in schema else 1


def _resolved(schema: Schema, root: Schema) -> Schema:
    """Return what a `$ref` within the document points to, with what stands beside it."""
    for _ in range(MAX_DEPTH):
        reference = schema.get("$ref", "")
        if not reference.startswith("#/"):
            break
        found: Any = root
        for part in reference[2:].split("/"):
            found = found.get(part.replace("~1", "/").replace("~0", "~"), {})
        schema = {**found, **{name: one for name, one in schema.items() if name != "$ref"}}
    parts: Sequence[Schema] = schema.get("allOf") or ()
    return {**schema, **_resolved(parts[0], root)} if len(parts) == 1 else schema


def _number(kind: str, schema: Schema) -> float:
    """Return 1, or a number near to it that the limits allow."""
    step = schema.get("multipleOf") or 1
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    least, most = schema.get("minimum"), schema.get("maximum")
    number = step
    if least is not None and number < least:
        number = least
    if above is not None and number <= above:
        number = above + step
    if most is not None and number > most:
        number = most
    if below is not None and number >= below:
        low = above if above is not None else least
        number = (low + below) / 2 if low is not None else below - step
    return int(number) if kind == "integer" else float(number)


def _text(schema: Schema) -> str:
    known = TEXTS.get(schema.get("format", ""))
    least = min(schema.get("minLength", 0), MAX_TEXT)
    return known or "text".ljust(least, "x")[: schema.get("maxLength")]


def _array(schema: Schema, root: Schema, depth: int) -> list[Any]:
    if depth >= MAX_DEPTH:
        return []
    if first := schema.get("prefixItems"):
        return [_value(one, root, depth + 1) for one in first]
    most = MAX_ITEMS if depth < DEEP else 1
    count = min(max(1, schema.get("minItems", 1)), schema.get("maxItems", most), most)
    return [_value(schema.get("items") or {}, root, depth + 1)] * count


def _object(schema: Schema, root: Schema, depth: int) -> dict[str, Any]:
    """Return an object with the required members; where none is required, with all of them.

    No feature of an artefact is required, since null may be allowed for each.
    """
    if depth >= MAX_DEPTH:
        return {}
    members = schema.get("properties") or {}
    names = schema.get("required") or list(members)
    return {name: _value(members.get(name) or {}, root, depth + 1) for name in names}
