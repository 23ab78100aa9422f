"""OpenAPI 3.1 of what is served: each model with the schema of its `variables`, its examples, and
every problem.
"""

from __future__ import annotations

import re
from typing import Any

import orjson
from flask import Flask, Response, request

from modelsync import __version__, problems
from modelsync.api import replies, samples
from modelsync.inference.serving import Service
from modelsync.models.types import LoadedModel
from modelsync.server.auth import Authorizer

Schema = dict[str, Any]

PROBLEMS: dict[str, str] = {
    "400": "The body is not JSON, or has no `variables` object",
    "401": "No token, or one that is not known",
    "403": "The token lacks the scope",
    "404": "There is no such model; `near` names those that look like it",
    "409": "The pod is pinned to a commit: `detail` tells how a new one comes",
    "413": "The body is too large",
    "415": "The body is not `application/json`, or it is compressed",
    "422": "`variables` does not fit the model; `errors` names each bad field",
    "500": "The model raised; `error` is the type of its exception",
    "503": "The model is not loaded or switched off, or too many requests wait (`Retry-After`)",
    "504": "The model did not answer in time",
}

PREDICT_PROBLEMS = ("400", "413", "415", "422", "500", "503", "504")


def register(app: Flask, service: Service, authorizer: Authorizer) -> None:
    """Add the route. The document is made once: what a process serves never changes."""
    made: list[bytes] = []

    @app.get(f"{service.base}/openapi.json")
    def openapi() -> Response:
        authorizer.require("predict", request.headers.get("Authorization"))
        if not made:
            made.append(orjson.dumps(document(service)))
        return replies.respond(problems.Answer(200, made[0]))


def document(service: Service) -> Schema:
    """The whole document."""
    schemas = dict(_COMMON_SCHEMAS)
    paths: Schema = {}
    for name, model in sorted(service.models.items()):
        paths[f"{service.base}/{name}"] = _model_path(service, model, schemas)
    paths |= _service_paths(service)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "modelsync",
            "version": service.commit or "none",
            "summary": "Predictions of the models of a git repository",
            "description": f"Served by modelsync {__version__}. The version here is the release that answers.",
        },
        "tags": [
            {"name": "models", "description": "A folder is a model"},
            {"name": "service", "description": "The service itself"},
        ],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "headers": _HEADERS,
            "responses": {f"Problem{code}": _problem(text) for code, text in PROBLEMS.items()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


# --- a model --------------------------------------------------------------------------------------


def _model_path(service: Service, model: LoadedModel, schemas: Schema) -> Schema:
    schemas[_component(model.name)] = _request_schema(model, schemas)
    predict = {
        "operationId": f"predict_{model.name}",
        "tags": ["models"],
        "summary": model.doc.strip().partition("\n")[0] or f"Predict with {model.name}",
        "description": model.doc.strip(),
        "requestBody": {"required": True, "content": {problems.JSON: _request(model)}},
        "responses": {"200": _result(model), **_refer(service, PREDICT_PROBLEMS)},
        **_security(service),
    }
    status = {
        "operationId": f"status_{model.name}",
        "tags": ["models"],
        "summary": f"State, version and schema of {model.name}",
        "responses": {"200": _ok("What is known of the model"), **_refer(service, ("404",))},
        **_security(service),
    }
    return {"post": predict, "get": status}


def _request(model: LoadedModel) -> Schema:
    media: Schema = {"schema": {"$ref": f"#/components/schemas/{_component(model.name)}"}}
    if model.examples:
        media["examples"] = {
            _component(example.name): {
                "summary": example.name,
                "value": {"variables": example.variables},
            }
            for example in model.examples
        }
    else:
        media["example"] = {"variables": samples.variables(model)}
    return media


def _result(model: LoadedModel) -> Schema:
    media: Schema = {"schema": {"type": "object"}}
    answered = {
        _component(example.name): {"summary": example.name, "value": example.response}
        for example in model.examples
        if example.response is not None
    }
    if answered:
        media["examples"] = answered
    headers = {name: {"$ref": f"#/components/headers/{name}"} for name in _HEADERS}
    return {
        "description": "What the model returned",
        "headers": headers,
        "content": {problems.JSON: media},
    }


def _request_schema(model: LoadedModel, schemas: Schema) -> Schema:
    """`{"variables": <the model's schema>}`; its `$defs` move to `schemas`, where references can
    find them.
    """
    variables = dict(model.schema or {"type": "object"})
    definitions = variables.pop("$defs", {})
    variables.pop("$schema", None)
    moved = {
        f"#/$defs/{name}": f"{_component(model.name)}.{_component(name)}" for name in definitions
    }
    for name, schema in definitions.items():
        schemas[moved[f"#/$defs/{name}"]] = _redirected(schema, moved)
    return {
        "type": "object",
        "title": f"{model.name} request",
        "properties": {"variables": _redirected(variables, moved)},
        "required": ["variables"],
    }


def _redirected(value: Any, moved: dict[str, str]) -> Any:
    """A copy of a schema that refers to moved definitions (`$ref`, and the `mapping` of a
    discriminator).
    """
    match value:
        case dict():
            return {key: _redirected(item, moved) for key, item in value.items()}
        case list():
            return [_redirected(item, moved) for item in value]
        case str() if value in moved:
            return f"#/components/schemas/{moved[value]}"
    return value


def _component(name: str) -> str:
    """A name as the keys of components take it (OpenAPI 3.1 section 4.8.7)."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)


# --- the service ----------------------------------------------------------------------------------


def _service_paths(service: Service) -> Schema:
    base = service.base
    return {
        f"{base}/all": {"post": _all(service)},
        f"{base}/sync": {
            "get": _get(service, "sync_status", "How the last sync went"),
            "post": _sync(service),
        },
        f"{base}/": {"get": _get(service, "index", "All models, as a page or as JSON")},
        f"{base}/usage": {
            "get": _get(service, "usage", "A curl line for each model", "text/plain")
        },
        "/livez": {"get": _get(None, "livez", "Whether the process answers")},
        "/readyz": {"get": _get(None, "readyz", "Whether a release is served", failures=("503",))},
        "/metrics": {"get": _get(None, "metrics", "Metrics for Prometheus", "text/plain")},
    }


def _all(service: Service) -> Schema:
    names = sorted(service.models)
    return {
        "operationId": "predict_all",
        "tags": ["models"],
        "summary": "Ask every model",
        "description": "Each result under its model's name; a model that fails holds its problem there.",
        "parameters": [
            _parameter(
                "models",
                {"type": "string"},
                f"Only these, for example `{','.join(names[:2]) or 'A,B'}`",
            ),
            _parameter(
                "flat",
                {"type": "boolean", "default": False},
                "All results side by side in one object",
            ),
        ],
        "requestBody": {
            "required": True,
            "content": {
                problems.JSON: {"schema": {"$ref": "#/components/schemas/modelsync.Variables"}}
            },
        },
        "responses": {"200": _ok("Results by model"), **_refer(service, ("400", "413", "415"))},
        **_security(service),
    }


def _sync(service: Service) -> Schema:
    return {
        "operationId": "sync",
        "tags": ["service"],
        "summary": "Look for a new commit now",
        "description": "With an admin token, or as a signed webhook of GitHub, GitLab, Gitea or Forgejo.",
        "responses": {
            "200": _ok("Answer to the ping of a new webhook"),
            "202": _ok("Accepted; or ignored, where another branch was pushed"),
            **_refer(None, ("400", "401", "403", "409", "413", "503")),
        },
        "security": [{"token": []}, {}],
    }


def _get(
    service: Service | None,
    operation: str,
    summary: str,
    media: str = problems.JSON,
    failures: tuple[str, ...] = (),
) -> Schema:
    """A simple GET; without `service` it is open to everybody."""
    return {
        "operationId": operation,
        "tags": ["service"],
        "summary": summary,
        "responses": {"200": _ok(summary, media), **_refer(service, failures)},
        **(_security(service) if service else {}),
    }


def _parameter(name: str, schema: Schema, description: str) -> Schema:
    return {"name": name, "in": "query", "schema": schema, "description": description}


def _security(service: Service) -> Schema:
    return {"security": [{"token": []}]} if service.settings.access.predict_tokens else {}


def _refer(service: Service | None, codes: tuple[str, ...]) -> Schema:
    tokens = ("401", "403") if service and service.settings.access.predict_tokens else ()
    return {
        code: {"$ref": f"#/components/responses/Problem{code}"}
        for code in sorted({*codes, *tokens})
    }


def _ok(description: str, media: str = problems.JSON) -> Schema:
    schema = {"type": "object"} if media == problems.JSON else {"type": "string"}
    return {"description": description, "content": {media: {"schema": schema}}}


def _problem(description: str) -> Schema:
    content = {problems.PROBLEM: {"schema": {"$ref": "#/components/schemas/modelsync.Problem"}}}
    return {"description": description, "content": content}


# A dot cannot stand in the name of a model, so these never meet one of theirs.
_COMMON_SCHEMAS: Schema = {
    "modelsync.Variables": {
        "type": "object",
        "properties": {"variables": {"type": "object"}},
        "required": ["variables"],
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

_HEADERS: Schema = {
    "X-Request-ID": {
        "description": "The request's id, also in the log",
        "schema": {"type": "string"},
    },
    "X-Modelsync-Release": {"description": "The commit that answers", "schema": {"type": "string"}},
    "X-Modelsync-Model-Version": {
        "description": "The git tree hash of the model's folder",
        "schema": {"type": "string"},
    },
}
