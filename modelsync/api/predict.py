"""Predictions through Flask, for servers other than ours; ours answers most of them without Flask."""

from __future__ import annotations

from time import perf_counter

from flask import Flask, Response, request

from modelsync.api import replies
from modelsync.errors import RequestError
from modelsync.inference.fanout import predict_all as ask_all
from modelsync.inference.serving import Service
from modelsync.protocols.native import NATIVE
from modelsync.server import query
from modelsync.server.auth import Authorizer
from modelsync.server.media_type import check_media_type


def register(app: Flask, service: Service, authorizer: Authorizer) -> None:
    """Add the routes."""
    dataplane = service.dataplane
    limit = service.settings.server.max_body

    def admit() -> None:
        authorizer.require("predict", request.headers.get("Authorization"))

    def json_body() -> bytes:
        check_media_type(
            request.headers.get("Content-Type"), request.headers.get("Content-Encoding")
        )
        return replies.body(limit)

    def predict(name: str) -> Response:
        started = perf_counter()
        try:
            admit()
            if name not in dataplane.models:
                dataplane.model(name)  # raises: unknown or not loaded, whatever the body is
            body = json_body() if request.method == "POST" else query.body_of(_query())
        except RequestError as error:
            if row := dataplane.counters.rows.get(name):
                row.observe(error.reason, perf_counter() - started)
            raise
        request_id = replies.request_id()
        answer = NATIVE.answer(
            dataplane.predict(name, body, NATIVE, request_id),
            name=name,
            model=dataplane.models[name],
            release=dataplane.release,
            request_id=request_id,
        )
        return replies.respond(answer)

    def predict_all() -> Response:
        admit()
        options = query.all_options(_query())
        request_id = replies.request_id()
        outcomes = ask_all(dataplane, json_body(), NATIVE, request_id, options.names)
        answer = NATIVE.answer_all(
            outcomes, flat=options.flat, release=dataplane.release, request_id=request_id
        )
        return replies.respond(answer)

    base = service.base
    app.add_url_rule(f"{base}/all", view_func=predict_all, methods=["POST"])
    app.add_url_rule(f"{base}/<model:name>", view_func=predict, methods=["POST"])
    app.add_url_rule(f"{base}/<model:name>/predict", view_func=predict, methods=["POST", "GET"])


def _query() -> str:
    return request.query_string.decode("latin-1")
