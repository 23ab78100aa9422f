"""`/livez` and `/readyz`: open to everybody, and answered by our worker in its event loop without Flask."""

from __future__ import annotations

import orjson
from flask import Flask, Response

from modelsync.http import problems, replies
from modelsync.http.access import Gate
from modelsync.http.problems import Answer
from modelsync.http.service import Service

ALIVE = Answer(200, b'{"status":"ok"}')


def livez(service: Service, request_id: str = "") -> Answer:
    """The process answers; restarting it would help nobody."""
    return ALIVE


def readyz(service: Service, request_id: str = "") -> Answer:
    """Whether requests should be sent here: a release serves and the process is not ending.

    A model that is not loaded or switched off is named but does not make the service unready: the others answer. Why it
    is not is told where a token may be asked for, since it may be what the model's code has said.
    """
    if reason := service.not_ready():
        # `reason`, as in the metrics: a rollout tells by it whether the commit is to blame.
        sync = service.status().reason if service.release is None else ""
        more = {"reason": sync} if sync else {}
        document = problems.document(503, reason, request_id=request_id, release=service.commit, **more)
        return Answer(503, orjson.dumps(document), problems.PROBLEM, (("Retry-After", "5"),))
    status = {
        "status": "ready",
        "release": service.commit,
        "models": len(service.models),
        "not_ready": {
            name: "failed" if name in service.faults else "switched_off" for name in sorted(service.unavailable())
        },
    }
    return Answer(200, orjson.dumps(status))


def register(app: Flask, service: Service, gate: Gate) -> None:
    """Add the routes."""

    @app.get("/livez")
    def live() -> Response:
        return replies.respond(livez(service))

    @app.get("/readyz")
    def ready() -> Response:
        return replies.respond(readyz(service, replies.request_id()))
