"""`POST /<base>/<Model>` and `POST /<base>/all` under other servers, and what they take and return.

Our own worker answers these routes without Flask.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from flask import Response, request

from modelsync.api import examples_schema, parameters, replies, samples
from modelsync.api.components import (
    HEADERS,
    Schema,
    component_name,
    own_schema,
    reference,
    request_schemas,
)
from modelsync.api.operations import Operation, operation, query_parameter, success
from modelsync.api.resource import MODEL_NAME, Context, PerModel, Route
from modelsync.errors import RequestError
from modelsync.inference.fanout import predict_all as ask_all
from modelsync.inference.serving import Service
from modelsync.models.types import LoadedModel
from modelsync.monitoring.shadow.requests import HEADER
from modelsync.problems import JSON
from modelsync.protocols.native import NATIVE
from modelsync.protocols.versions import codec_of, named_version
from modelsync.server import query
from modelsync.server.media_type import check_media_type


def routes(context: Context) -> list[Route]:
    """The routes that call models."""
    dataplane = context.service.dataplane
    predict = predictor(context)

    def predict_all() -> Response:
        context.require("predict")
        flat = context.service.settings.server.all == "flat"
        options = query.all_options(_query(), flat=flat)
        request_id = replies.request_id()
        body = _json_body(context)
        outcomes = ask_all(dataplane, body, NATIVE, request_id, options.names)
        if sampler := context.service.sampler:
            for name, outcome in outcomes.items():
                sampler.heard(dataplane.models.get(name), NATIVE, request_id, body, outcome)
        answer = NATIVE.answer_all(
            outcomes, flat=options.flat, release=dataplane.release, request_id=request_id
        )
        return replies.respond(answer)

    path = f"{context.base}/{MODEL_NAME}"
    about = PerModel(
        lambda model: _predict_operation(context, model),
        lambda model: request_schemas(model) | _response_schemas(context, model),
    )
    by_query = PerModel(
        lambda model: _query_operation(context, model),
        applies=lambda model: model.spec.schema is not None,
    )
    older = PerModel(
        lambda model: _older_operation(context, model),
        applies=lambda model: model.spec.schema is not None,
    )
    return [
        Route("POST", path, predict, about),
        Route("POST", f"{path}/predict", predict, older),
        Route("GET", f"{path}/predict", predict, by_query),
        Route("POST", f"{context.base}/all", predict_all, _all_operation(context), link="all"),
    ]


def predictor(context: Context) -> Callable[[str], Response]:
    """The view that predicts with a model: of a POST with a body, of a GET with a query."""
    dataplane = context.service.dataplane

    def predict(name: str) -> Response:
        """Answer a prediction; refusals before the data plane are counted here."""
        started = perf_counter()
        try:
            context.require("predict")
            if name not in dataplane.models:
                dataplane.model(name)  # raises UnknownModel or ModelUnavailable for any body
            if request.method == "POST":
                body = _json_body(context)
            else:
                body = parameters.body_of(dataplane.models[name], _query())
        except RequestError as error:
            if row := dataplane.counters.rows.get(name):
                row.observe(error.reason, perf_counter() - started)
            raise
        if version := _named(context.service, name, body):
            return with_version(context.service, name, version, body)
        request_id = replies.request_id()
        model = dataplane.models[name]
        codec = codec_of(model.spec)
        outcome = dataplane.predict(name, body, codec, request_id)
        if context.service.sampler and HEADER not in request.headers:
            context.service.sampler.heard(model, codec, request_id, body, outcome)
        answer = NATIVE.answer(
            outcome,
            name=name,
            model=dataplane.models[name],
            release=dataplane.release,
            request_id=request_id,
        )
        return replies.respond(answer)

    return predict


def with_version(service: Service, name: str, version: str, body: bytes) -> Response:
    """The prediction of one version of a trained model, by its number, key, name or label."""
    request_id = replies.request_id()
    codec = codec_of(service.models[name].spec)
    outcome, model = service.predict_version(name, version, body, codec, request_id)
    if service.sampler:
        service.sampler.heard(model, codec, request_id, body, outcome)
    answer = NATIVE.answer(
        outcome, name=name, model=model, release=service.commit, request_id=request_id
    )
    return replies.respond(answer)


def _named(service: Service, name: str, body: bytes) -> str:
    """The version that a request for a trained model names, in its body or its query."""
    spec = service.models[name].spec
    if not spec.trainable:
        return ""
    keys = parameters.version_keys(spec)
    return named_version(body) or next(
        (request.args[key] for key in keys if request.args.get(key)), ""
    )


def _json_body(context: Context) -> bytes:
    check_media_type(request.headers.get("Content-Type"), request.headers.get("Content-Encoding"))
    return replies.body(context.service.settings.server.max_body)


def _query() -> str:
    return request.query_string.decode("latin-1")


def _predict_operation(context: Context, model: LoadedModel) -> Operation:
    fitted = ("404", "409") if model.spec.trainable else ()
    return operation(
        f"predict_{model.name}",
        "models",
        model.doc.strip().partition("\n")[0] or f"Predict with {model.name}",
        {"200": _prediction(model)},
        problems=("400", "413", "415", "422", "4XX", "500", "503", "504", *fitted),
        needs_token=context.predict_needs_token,
        description=model.doc.strip(),
        requestBody={"required": True, "content": {JSON: _request(model)}},
    )


def _older_operation(context: Context, model: LoadedModel) -> Operation:
    """The path of an older system; it is documented where GET is documented there."""
    found = _predict_operation(context, model)
    summary = f"As POST {context.base}/{model.name}, which is the path to use"
    return {
        **found,
        "operationId": f"predict_{model.name}_by_older_path",
        "summary": summary,
        "deprecated": True,
    }


def _query_operation(context: Context, model: LoadedModel) -> Operation:
    """The same prediction with the columns of the model's schema as parameters of a query."""
    fitted = ("404", "409") if model.spec.trainable else ()
    return operation(
        f"query_{model.name}",
        "models",
        f"Predict one row with {model.name}, by a query",
        {"200": _prediction(model)},
        problems=("400", "422", "4XX", "500", "503", "504", *fitted),
        needs_token=context.predict_needs_token,
        parameters=parameters.described(model),
    )


def _request(model: LoadedModel) -> Schema:
    """The Media Type Object of a model's request, with its examples or a sample."""
    schema = reference("schemas", component_name(model.name))
    if model.spec.trainable:
        rows = (reference("schemas", name) for name in ("modelsync.Rows", "modelsync.Data"))
        schema = {"anyOf": [schema, *rows]}
    if not model.examples:
        return {"schema": schema, "example": {"variables": samples.variables(model)}}
    examples = {
        component_name(example.name): {
            "summary": example.name,
            "value": {"variables": example.variables},
        }
        for example in model.examples
    }
    return {"schema": schema, "examples": examples}


def _prediction(model: LoadedModel) -> Schema:
    """The Response Object of a model, with the responses that its examples expect."""
    schema = reference("schemas", _response_name(model))
    if model.spec.trainable:
        schema = {"anyOf": [schema, reference("schemas", "modelsync.RowsAnswer")]}
    media: Schema = {"schema": schema}
    examples = {
        component_name(example.name): {"summary": example.name, "value": example.response}
        for example in model.examples
        if example.response is not None
    }
    if examples:
        media["examples"] = examples
    return {
        "description": "The result of the model",
        "headers": {name: reference("headers", name) for name in HEADERS},
        "content": {JSON: media},
    }


def _response_name(model: LoadedModel) -> str:
    return f"{component_name(model.name)}.response"


def _response_schemas(context: Context, model: LoadedModel) -> dict[str, Schema]:
    """The schema of a model's answers, by its return annotation or else its examples."""
    entry = context.service.entries.get(model.name)
    schema = entry.response if entry and entry.version == model.spec.version else None
    if schema is None:
        given = [example.response for example in model.examples if example.response is not None]
        schema = examples_schema.schema_of(given) if given else {"type": "object"}
    name = _response_name(model)
    found, schemas = own_schema(name, schema)
    return {**schemas, name: {**found, "title": f"{model.name} response"}}


def _all_operation(context: Context) -> Operation:
    """The operation of `/all`; its example of `?models=` names models of this release."""
    names = ",".join(sorted(context.service.models)[:2]) or "A,B"
    schema = reference("schemas", "modelsync.Variables")
    return operation(
        "predict_all",
        "models",
        "Ask every model",
        {"200": success("Results by model")},
        problems=("400", "413", "415"),
        needs_token=context.predict_needs_token,
        description="Each result under its model's name; a model that fails holds its problem "
        "there.",
        parameters=[
            query_parameter("models", {"type": "string"}, f"Only these, for example `{names}`"),
            query_parameter(
                "flat",
                {"type": "boolean", "default": context.service.settings.server.all == "flat"},
                "All results side by side in one object; of members that several models have, the "
                "field `X-Modelsync-Collisions` tells",
            ),
        ],
        requestBody={"required": True, "content": {JSON: {"schema": schema}}},
    )
