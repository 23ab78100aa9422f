"""The routes `/livez` and `/readyz`, for servers other than ours; ours answers them without Flask."""

from __future__ import annotations

from flask import Flask, Response

from modelsync.api import replies
from modelsync.inference.serving import Service
from modelsync.server.auth import Authorizer
from modelsync.server.probes import livez, readyz


def register(app: Flask, service: Service, authorizer: Authorizer) -> None:
    """Add the routes."""

    @app.get("/livez")
    def live() -> Response:
        return replies.respond(livez(service))

    @app.get("/readyz")
    def ready() -> Response:
        return replies.respond(readyz(service, replies.request_id()))
