"""Has the calls of a model check and type their requests by the `schema.yml` of its folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from modelsync.models.binding.calls import Calls
from modelsync.models.binding.typehints import Call, Schema
from modelsync.models.schemas import json_values
from modelsync.models.types import ModelSpec

if TYPE_CHECKING:
    from modelsync.models.schemas.requests import RequestSchema


def by_schema(spec: ModelSpec, calls: Calls) -> Calls:
    """Return the calls of a model with a check before them, if its folder has a schema.

    What does not fit raises VariablesInvalid. A model that takes its row as the list `x` gets the
    columns in the order of the schema.
    """
    if spec.schema is None:
        return calls
    # Here: most models need none.
    from modelsync.models.schemas import json_schema
    from modelsync.models.schemas.requests import BY_PLACE, RequestSchema

    checks = RequestSchema(spec.schema)
    typed: Call = checks.typed
    given = calls.schema
    if _takes_list(given, BY_PLACE) and BY_PLACE not in checks.names:
        typed, given = _listed(checks, BY_PLACE), None
    call, bind = calls.call, calls.bind
    return replace(
        calls,
        call=_after(typed, call),
        schema=json_values.plain(json_schema.of(spec.schema, given)),
        bind=_after(typed, bind) if bind else None,
    )


def _after(typed: Call, call: Callable[[Any], Any]) -> Call:
    return lambda variables: call(typed(variables))


def _takes_list(schema: Schema | None, by_place: str) -> bool:
    """Return whether the variables are a row as a list of this name."""
    properties = (schema or {}).get("properties", {})
    return list(properties) == [by_place] and properties[by_place].get("type") == "array"


def _listed(checks: RequestSchema, by_place: str) -> Call:
    names = checks.names

    def typed(variables: Any) -> Any:
        found = checks.typed(variables)
        return {by_place: [found[name] for name in names]} if type(found) is dict else found

    return typed
