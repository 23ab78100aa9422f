"""Predicting through Flask: `POST /<base>/<Model>` and `POST /<base>/all`, as our worker answers
them without Flask.
"""

from __future__ import annotations

from time import perf_counter

from flask import Flask, Response, request

from modelsync import problems
from modelsync.api import replies
from modelsync.errors import RequestError
from modelsync.inference.fanout import answer_all
from modelsync.inference.serving import Service
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
            if name in dataplane.models:
                dataplane.counters.observe(
                    name, problems.status_of(error), perf_counter() - started
                )
            raise
        return replies.respond(dataplane.answer(name, body, replies.request_id()))

    def predict_all() -> Response:
        admit()
        options = query.all_options(_query())
        answer = answer_all(
            dataplane, json_body(), replies.request_id(), names=options.names, flat=options.flat
        )
        return replies.respond(answer)

    base = service.base
    app.add_url_rule(f"{base}/all", view_func=predict_all, methods=["POST"])
    app.add_url_rule(f"{base}/<model:name>", view_func=predict, methods=["POST"])
    app.add_url_rule(f"{base}/<model:name>/predict", view_func=predict, methods=["POST", "GET"])


def _query() -> str:
    return request.query_string.decode("latin-1")
