"""`GET /livez` and `GET /readyz` under other servers; our own worker answers them without Flask."""

from __future__ import annotations

from flask import Response

from modelsync.api import operations, replies
from modelsync.api.resource import Context, Route
from modelsync.server.probes import livez, readyz


def routes(context: Context) -> list[Route]:
    """The routes of both probes; neither needs a token."""
    service = context.service

    def live() -> Response:
        return replies.respond(livez(service))

    def ready() -> Response:
        return replies.respond(readyz(service, replies.request_id()))

    about_live = operations.read("livez", "Whether the process answers")
    about_ready = operations.read("readyz", "Whether a release is served", problems=("503",))
    return [Route("GET", "/livez", live, about_live), Route("GET", "/readyz", ready, about_ready)]
