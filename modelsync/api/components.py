"""The Components Object of OpenAPI 3.1: schemas, headers and problems that operations refer to.

Section 4.8.7 of the specification: https://spec.openapis.org/oas/v3.1.0#components-object.
"""

from __future__ import annotations

import re
from typing import Any
from zlib import crc32

import orjson

from modelsync.api import compiled_schema, shadow_schema
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
    "4XX": "The model rejects the request, by an exception with this status code",
    "429": "Too many jobs wait already (`Retry-After`)",
    "500": "The model raised an exception; `error` is its type",
    "503": "The model is not loaded or switched off, or too many requests wait (`Retry-After`)",
    "504": "The model did not answer in time",
}
"""What each status code of a problem document means."""
MOST_TRUTHS = 10_000
"""Requests that one call of feedback may tell of."""


def _rows(name: str, description: str) -> Schema:
    """The schema of a request with several rows, under this name."""
    kinds = {"type": ["array", "object"], "items": {}, "minItems": 1, "minProperties": 1}
    return {
        "type": "object",
        "description": "Several rows for a trained model, and the version that is asked",
        "properties": {
            name: {**kinds, "description": description},
            "key": {"type": "string", "description": "A key, a label or a number"},
            "orient": {"type": "string", "description": "The form of x and y, as pandas has it"},
        },
        "required": [name],
    }


SCHEMAS: dict[str, Schema] = {
    "modelsync.Variables": {
        "type": "object",
        "properties": {"variables": {"type": "object"}},
        "required": ["variables"],
    },
    "modelsync.Rows": _rows("x", "Rows, or {column: [...]}; answered with `y`"),
    "modelsync.Data": _rows("data", "Columns are answered with `predict`, rows with `predictions`"),
    "modelsync.RowsAnswer": {
        "type": "object",
        "description": "The predictions for several rows",
        "properties": {
            "y": {"description": "A value for each row, or those of each output"},
            "predict": {"description": "A value for each row"},
            "predictions": {"description": "A value for each row"},
        },
    },
    "modelsync.Fit": {
        "type": "object",
        "description": "Training data and parameters; all members may be missing",
        "properties": {
            "x": {"description": "Rows, {column: [...]}, or {source: ...}"},
            "y": {"description": "A value for each row, or the name of a column"},
            "target": {"type": ["string", "null"], "description": "The column to predict"},
            "source": {
                "type": ["string", "null"],
                "description": "Files or a query in place of x and y",
            },
            "name": {"type": ["string", "null"], "description": "The key of the version"},
            "key": {"type": ["string", "null"], "description": "The version to update"},
            "params": {"type": ["object", "null"], "description": "Passed to fit"},
            "retrain": {
                "type": ["boolean", "null"],
                "description": "Fit also what was fitted before",
            },
            "orient": {
                "type": ["string", "null"],
                "description": "The form of x and y, as pandas has it",
            },
            "webhook": {
                "type": ["string", "null"],
                "description": "A URL that gets the finished job",
            },
        },
    },
    "modelsync.Truth": {
        "type": "object",
        "properties": {
            "request_id": {
                "type": "string",
                "pattern": "^[A-Za-z0-9._-]{1,128}$",
                "description": "X-Request-ID of the prediction",
            },
            "truth": {
                "type": ["string", "number", "boolean", "object", "array"],
                "items": {},
                "description": "What the prediction should have been",
            },
        },
        "required": ["request_id", "truth"],
    },
    "modelsync.Truths": {
        "type": "array",
        "maxItems": MOST_TRUTHS,
        "items": {"$ref": "#/components/schemas/modelsync.Truth"},
    },
    "modelsync.Feedback": {
        "anyOf": [
            {"$ref": "#/components/schemas/modelsync.Truth"},
            {"$ref": "#/components/schemas/modelsync.Truths"},
            {
                "type": "object",
                "properties": {"feedback": {"$ref": "#/components/schemas/modelsync.Truths"}},
                "required": ["feedback"],
            },
        ]
    },
    **compiled_schema.SCHEMAS,
    **shadow_schema.SCHEMAS,
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
    """`name` with `_` for each character that the specification forbids in a component's key.

    A name with letters that are no ASCII gets a checksum at its end, so that two stay two.
    """
    found = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return found if name.isascii() else f"{found}_{crc32(name.encode()):08x}"


def request_schemas(model: LoadedModel) -> dict[str, Schema]:
    """The schema of a model's request body, `{"variables": {...}}`, and the definitions it uses."""
    name = component_name(model.name)
    variables, schemas = own_schema(name, without_defaults(model.schema or {"type": "object"}))
    variables.pop("title", None)
    schemas[name] = {
        "type": "object",
        "title": f"{model.name} request",
        "properties": {"variables": variables},
        "required": ["variables"],
    }
    return schemas


def own_schema(name: str, schema: Schema) -> tuple[Schema, dict[str, Schema]]:
    """A schema of a model with the definitions it uses as components named `<name>.<definition>`.

    Inside a document, `#/$defs/...` would refer to the document's root. Titles begin with `name`,
    because generators name their classes after them, and two models may have the same ones.
    """
    schema = dict(schema)
    definitions = schema.pop("$defs", {})
    schema.pop("$schema", None)
    names = {key: f"{name}.{component_name(key)}" for key in definitions}
    moved = {f"#/$defs/{key}": reference("schemas", names[key])["$ref"] for key in definitions}
    schemas = {
        names[key]: {**_redirect(found, moved), "title": f"{name.replace('.', ' ')} {key}"}
        for key, found in definitions.items()
    }
    return _redirect(schema, moved), schemas


def without_defaults(schema: Any) -> Any:
    """A schema of a request with each default as a text of its description.

    The service fills in what is missing. Clients that are generated would send the default of the
    release that they were made for, and openapi-typescript demands what has one.
    """
    if isinstance(schema, list):
        return [without_defaults(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {
        key: _members_without_defaults(value)
        if key in ("properties", "$defs")
        else value
        if key in _VALUES
        else without_defaults(value)
        for key, value in schema.items()
        if key != "default"
    }
    if (default := schema.get("default")) is not None:
        text = f"Default: `{orjson.dumps(default).decode()}`."
        found["description"] = f"{found.get('description', '')} {text}".strip()
    return found


_VALUES = frozenset({"const", "enum", "example", "examples"})
"""Keywords of JSON schema that hold values."""


def _members_without_defaults(members: Any) -> Any:
    if not isinstance(members, dict):
        return members
    return {name: without_defaults(schema) for name, schema in members.items()}


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
