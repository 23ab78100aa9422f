"""Defaults that are a `Field` of pydantic, as FastAPI's users write them: `x: float = Field(ge=0)`.

Python would give the method the `Field` itself. It becomes a part of the type, and its default, if
it has one, is given in its place.
"""

from __future__ import annotations

from typing import Annotated, Any

from modelsync.models.binding.typehints import Validate, Variables


def is_field(default: Any) -> bool:
    """Return whether a default is a `FieldInfo`, of pydantic or of what derives from it."""
    return any(
        kind.__name__ == "FieldInfo" and kind.__module__.startswith("pydantic")
        for kind in type(default).__mro__
    )


def split(hints: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Move the fields among the defaults into the types; return the values that they stand for."""
    values = {}
    for name in [name for name, default in defaults.items() if is_field(default)]:
        field = defaults.pop(name)
        hints[name] = Annotated[hints[name], field]
        if not field.is_required():
            values[name] = defaults[name] = field.get_default(call_default_factory=True)
    return values


def filling(validate: Validate, values: dict[str, Any]) -> Validate:
    """Return what gives these values for variables that are missing."""

    def check(variables: Variables) -> Any:
        return {**values, **validate(variables)}

    return check
