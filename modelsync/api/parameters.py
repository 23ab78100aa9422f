"""The variables of `GET .../predict`, as the parameters of its query."""

from __future__ import annotations

import orjson

from modelsync.api import samples
from modelsync.api.components import Schema
from modelsync.api.operations import query_parameter
from modelsync.models.schemas import json_schema
from modelsync.models.schemas.requests import RequestSchema
from modelsync.models.tables.bodies import KEYS
from modelsync.models.types import LoadedModel, ModelSpec
from modelsync.server import query


def body_of(model: LoadedModel, text: str) -> bytes:
    """The body of a POST that asks the same as a query does.

    Its values are typed by the schema of the model's folder; without one each is JSON, or else a
    text. Raises MalformedBody; VariablesInvalid for a parameter that is unknown or repeated.
    """
    schema = model.spec.schema
    if schema is None:
        return query.body_of(text)
    keys = version_keys(model.spec)
    fields = {name: texts for name, texts in query.fields_of(text).items() if name not in keys}
    others = (model.schema or {}).get("properties", {})
    return orjson.dumps({"variables": RequestSchema(schema).query(fields, others)})


def version_keys(spec: ModelSpec) -> tuple[str, ...]:
    """The parameters that name a fitted version, but for those that are columns of the model."""
    if not spec.trainable:
        return ()
    columns = [one.name for one in spec.schema.columns] if spec.schema else []
    return tuple(name for name in KEYS if name not in columns)


def described(model: LoadedModel) -> list[Schema]:
    """The Parameter Objects of OpenAPI; https://spec.openapis.org/oas/v3.1.0#parameter-object."""
    assert model.spec.schema
    sample = samples.variables(model)
    found = [
        {
            **query_parameter(one.name, json_schema.column(one), json_schema.about(one)),
            "required": not one.takes_missing,
            "allowEmptyValue": one.takes_missing,
            **({"example": sample[one.name]} if sample.get(one.name) is not None else {}),
        }
        for one in model.spec.schema.features
    ]
    key = {"type": "string"}
    names = [name for name in version_keys(model.spec) if name == KEYS[0]]
    return found + [query_parameter(name, key, "A key, a label or a number") for name in names]
