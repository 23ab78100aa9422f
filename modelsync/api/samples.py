"""A request to try a model with: its first example, else one made up from its schema."""

from __future__ import annotations

from typing import Any

from modelsync.models.types import LoadedModel

Schema = dict[str, Any]

DEEPEST = 6  # levels of a schema that refers to itself

_PLAIN: dict[str, Any] = {
    "string": "text",
    "integer": 1,
    "number": 1.0,
    "boolean": True,
    "null": None,
}

_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "email": "name@example.org",
    "uri": "https://example.org/",
}


def variables(model: LoadedModel) -> dict[str, Any]:
    """The `variables` to show; their types fit the schema, their values need not mean anything.

    A model without a schema gets a placeholder that nobody takes for one of its names.
    """
    if model.examples:
        return model.examples[0].variables
    if model.schema is None:  # any object will do, and no name in it is known here
        return {"<name>": "<value>"}
    schema = model.schema
    made = _made(schema, schema.get("$defs", {}), 0)
    return made if isinstance(made, dict) else {}


def _made(schema: Schema, definitions: Schema, depth: int) -> Any:
    if "$ref" in schema:
        schema = {**definitions.get(str(schema["$ref"]).rpartition("/")[2], {}), **schema}
    if "default" in schema:
        return schema["default"]
    for given in ("const", "enum", "examples"):
        if given in schema:
            return schema[given] if given == "const" else schema[given][0]
    if options := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        return _made(options[0], definitions, depth)
    kind = schema.get("type")
    if kind == "object" and depth < DEEPEST:
        required = schema.get("required", [])
        members = schema.get("properties", {})
        return {
            name: _made(member, definitions, depth + 1)
            for name, member in members.items()
            if name in required
        }
    if kind == "array" and depth < DEEPEST:
        return (
            [_made(schema["items"], definitions, depth + 1)]
            if isinstance(schema.get("items"), dict)
            else []
        )
    if kind in {"integer", "number"}:
        return _number(schema, whole=kind == "integer")
    return _FORMATS.get(
        schema.get("format", ""), _PLAIN.get(str(kind), {} if kind == "object" else None)
    )


def _number(schema: Schema, *, whole: bool) -> float:
    """One, or what is nearest to it within the limits."""
    number: float = 1
    if (low := schema.get("minimum", schema.get("exclusiveMinimum"))) is not None:
        number = max(number, low if "minimum" in schema else low + 1)
    if (high := schema.get("maximum", schema.get("exclusiveMaximum"))) is not None:
        number = min(number, high if "maximum" in schema else high - 1)
    return int(number) if whole else float(number)
