"""Predicting through Flask: `POST /<base>/<Model>` and `POST /<base>/all`, as our worker answers them without Flask."""

from __future__ import annotations

from time import perf_counter

from flask import Flask, Response, request

from modelsync.errors import RequestError
from modelsync.http import problems, queries, replies
from modelsync.http.access import Gate
from modelsync.http.fanout import answer_all
from modelsync.http.media import check_media_type
from modelsync.http.service import Service


def register(app: Flask, service: Service, gate: Gate) -> None:
    """Add the routes."""
    lane = service.lane
    limit = service.settings.server.max_body

    def admit() -> None:
        gate.require("predict", request.headers.get("Authorization"))

    def json_body() -> bytes:
        check_media_type(request.headers.get("Content-Type"), request.headers.get("Content-Encoding"))
        return replies.body(limit)

    def predict(name: str) -> Response:
        started = perf_counter()
        try:
            admit()
            if name not in lane.models:
                lane.model(name)  # raises: unknown or not loaded, whatever the body is
            body = json_body() if request.method == "POST" else queries.body_of(_query())
        except RequestError as error:
            if name in lane.models:
                lane.counters.observe(name, problems.status_of(error), perf_counter() - started)
            raise
        return replies.respond(lane.answer(name, body, replies.request_id()))

    def predict_all() -> Response:
        admit()
        options = queries.all_options(_query())
        answer = answer_all(lane, json_body(), replies.request_id(), names=options.names, flat=options.flat)
        return replies.respond(answer)

    base = service.base
    app.add_url_rule(f"{base}/all", view_func=predict_all, methods=["POST"])
    app.add_url_rule(f"{base}/<model:name>", view_func=predict, methods=["POST"])
    app.add_url_rule(f"{base}/<model:name>/predict", view_func=predict, methods=["POST", "GET"])


def _query() -> str:
    return request.query_string.decode("latin-1")
