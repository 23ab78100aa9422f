"""The Components Object of OpenAPI 3.1: schemas, headers and problems that operations refer to.

Section 4.8.7 of the specification: https://spec.openapis.org/oas/v3.1.0#components-object.
"""

from __future__ import annotations

import re
from typing import Any

from modelsync.models.types import LoadedModel
from modelsync.problems import PROBLEM
from modelsync.server.request_ids import HEADER as REQUEST_ID
from modelsync.server.responses import MODEL_VERSION, RELEASE

Schema = dict[str, Any]
"""A JSON Schema, or another object of an OpenAPI document."""

PROBLEMS: dict[str, str] = {
    "400": "The body is not JSON, or has no `variables` object",
    "401": "No token, or an unknown one",
    "403": "The token lacks the scope",
    "404": "There is no such model, version or job; `near` lists similar names",
    "405": "The model lacks what the method needs; `detail` says what",
    "409": "It cannot be done in this state, such as a pinned commit; `detail` says why",
    "413": "The body is too large",
    "415": "The body is not `application/json`, or it is compressed",
    "422": "`variables` or training data do not fit; `detail` and `errors` name what",
    "429": "Too many jobs wait already (`Retry-After`)",
    "500": "The model raised an exception; `error` is its type",
    "503": "The model is not loaded or switched off, or too many requests wait (`Retry-After`)",
    "504": "The model did not answer in time",
}
"""What each status code of a problem document means."""

SCHEMAS: dict[str, Schema] = {
    "modelsync.Variables": {
        "type": "object",
        "properties": {"variables": {"type": "object"}},
        "required": ["variables"],
    },
    "modelsync.Rows": {
        "type": "object",
        "description": "Several rows for a trained model, and the version that is asked",
        "properties": {
            "x": {"description": "Rows, or {column: [...]}; answered with `y`"},
            "data": {"description": "Columns are answered with `predict`, rows with `predictions`"},
            "key": {"type": "string", "description": "A key, a label or a number"},
            "orient": {"type": "string", "description": "The form of x and y, as pandas has it"},
        },
    },
    "modelsync.Fit": {
        "type": "object",
        "description": "Training data and parameters; all members may be missing",
        "properties": {
            "x": {"description": "Rows, {column: [...]}, or {source: ...}"},
            "y": {"description": "A value for each row, or the name of a column"},
            "target": {"type": "string", "description": "The column to predict"},
            "source": {"type": "string", "description": "Files or a query in place of x and y"},
            "name": {"type": "string", "description": "The key of the version"},
            "key": {"type": "string", "description": "The version to update"},
            "params": {"type": "object", "description": "Passed to fit"},
            "retrain": {"type": "boolean", "description": "Fit also what was fitted before"},
            "orient": {"type": "string", "description": "The form of x and y, as pandas has it"},
            "webhook": {"type": "string", "description": "A URL that gets the finished job"},
        },
    },
    "modelsync.Problem": {
        "type": "object",
        "description": "RFC 9457",
        "properties": {
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "model": {"type": ["string", "null"]},
            "release": {"type": ["string", "null"]},
            "request_id": {"type": "string"},
        },
        "required": ["title", "status", "detail", "model", "release", "request_id"],
    },
}
"""Schemas of the service itself. A model's name holds no dot, so no model's schema replaces one."""

HEADERS: dict[str, Schema] = {
    REQUEST_ID: {
        "description": "The request's id, also in the log",
        "schema": {"type": "string"},
    },
    RELEASE: {"description": "The commit that answers", "schema": {"type": "string"}},
    MODEL_VERSION: {
        "description": "The git tree hash of the model's folder",
        "schema": {"type": "string"},
    },
}
"""Headers of a prediction's response."""


def components(model_schemas: dict[str, Schema]) -> Schema:
    """The whole Components Object, with the schemas of the service and those of its models."""
    return {
        "schemas": {**SCHEMAS, **model_schemas},
        "headers": HEADERS,
        "responses": {f"Problem{code}": _problem(text) for code, text in PROBLEMS.items()},
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }


def reference(kind: str, name: str) -> Schema:
    """A Reference Object to the component `name` of a kind, such as `schemas` or `responses`."""
    return {"$ref": f"#/components/{kind}/{name}"}


def component_name(name: str) -> str:
    """`name` with `_` for each character that the specification forbids in a component's key."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)


def request_schemas(model: LoadedModel) -> dict[str, Schema]:
    """The schema of a model's request body, `{"variables": {...}}`, and the definitions it uses.

    The `$defs` of the model's schema become components named `<Model>.<definition>`: inside a
    document, `#/$defs/...` would refer to the document's root.
    """
    name = component_name(model.name)
    variables = dict(model.schema or {"type": "object"})
    definitions = variables.pop("$defs", {})
    variables.pop("$schema", None)
    names = {key: f"{name}.{component_name(key)}" for key in definitions}
    moved = {f"#/$defs/{key}": reference("schemas", names[key])["$ref"] for key in definitions}
    schemas = {names[key]: _redirect(schema, moved) for key, schema in definitions.items()}
    schemas[name] = {
        "type": "object",
        "title": f"{model.name} request",
        "properties": {"variables": _redirect(variables, moved)},
        "required": ["variables"],
    }
    return schemas


def _redirect(value: Any, moved: dict[str, str]) -> Any:
    """A copy of a schema in which each reference that is a key of `moved` has its new target.

    References stand in `$ref` and in the `mapping` of a discriminator.
    """
    match value:
        case dict():
            return {key: _redirect(item, moved) for key, item in value.items()}
        case list():
            return [_redirect(item, moved) for item in value]
        case str():
            return moved.get(value, value)
    return value


def _problem(description: str) -> Schema:
    content = {PROBLEM: {"schema": reference("schemas", "modelsync.Problem")}}
    return {"description": description, "content": content}
