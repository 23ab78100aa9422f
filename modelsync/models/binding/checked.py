"""Has the calls of a model check and type their requests by the `schema.yml` of its folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from modelsync.models.binding.calls import Calls
from modelsync.models.binding.typehints import Call, Schema
from modelsync.models.data_schema import DataSchema
from modelsync.models.schemas import json_schema
from modelsync.models.schemas.requests import BY_PLACE, RequestSchema


def by_schema(schema: DataSchema, calls: Calls) -> Calls:
    """Return the calls with a check before them; what does not fit raises VariablesInvalid.

    A model that takes its row as the list `x` gets the columns in the order of the schema.
    """
    requests = RequestSchema(schema)
    typed: Call = requests.typed
    given = calls.schema
    if _takes_list(given) and BY_PLACE not in requests.names:
        typed, given = _listed(requests), None
    call, bind = calls.call, calls.bind
    return replace(
        calls,
        call=_after(typed, call),
        schema=json_schema.of(schema, given),
        bind=_after(typed, bind) if bind else None,
    )


def _after(typed: Call, call: Callable[[Any], Any]) -> Call:
    return lambda variables: call(typed(variables))


def _takes_list(schema: Schema | None) -> bool:
    """Return whether the variables are a row as a list."""
    properties = (schema or {}).get("properties", {})
    return list(properties) == [BY_PLACE] and properties[BY_PLACE].get("type") == "array"


def _listed(requests: RequestSchema) -> Call:
    names = requests.names

    def typed(variables: Any) -> Any:
        found = requests.typed(variables)
        return {BY_PLACE: [found[name] for name in names]} if type(found) is dict else found

    return typed
