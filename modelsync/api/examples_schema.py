"""The JSON schema that examples of an answer suggest, for models without a return annotation.

Examples show what an answer may hold, and promise nothing: no member is required, and an integer in
all of them is a number, which is null where it turns out as NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelsync.api.components import Schema

MAX_DEPTH = 20
"""Levels of nesting that are described."""

_TYPES = ((bool, "boolean"), (int | float, "number"), (str, "string"), (type(None), "null"))


def schema_of(values: Sequence[Any], depth: int = 0) -> Schema:
    """Return a schema that all these JSON values fit."""
    objects = [value for value in values if isinstance(value, dict)]
    lists = [value for value in values if isinstance(value, list)]
    found: list[Schema] = []
    if objects:
        found.append(_object(objects, depth))
    if lists:
        items = [item for value in lists for item in value]
        more = {"items": schema_of(items, depth + 1)} if items and depth < MAX_DEPTH else {}
        found.append({"type": "array", **more})
    others = [value for value in values if not isinstance(value, dict | list)]
    names = dict.fromkeys(_type_of(value) for value in others)
    if "number" in names:
        names["null"] = None
    found += [{"type": name} for name in names]
    if len(names) == len(found) and names:
        kinds = list(names)
        return {} if kinds == ["null"] else {"type": kinds[0] if len(kinds) == 1 else kinds}
    return found[0] if len(found) == 1 else {"anyOf": found} if found else {}


def _object(values: Sequence[dict[str, Any]], depth: int) -> Schema:
    if depth >= MAX_DEPTH:
        return {"type": "object"}
    names = dict.fromkeys(name for value in values for name in value)
    members = {
        name: schema_of([value[name] for value in values if name in value], depth + 1)
        for name in names
    }
    return {"type": "object", "properties": members}


def _type_of(value: Any) -> str:
    return next(name for kind, name in _TYPES if isinstance(value, kind))
