"""`/livez` and `/readyz`, answered in the event loop: no Flask, no thread, no model."""

from __future__ import annotations

import orjson

from modelsync import problems
from modelsync.inference.serving import Service
from modelsync.problems import Answer

ALIVE = Answer(200, b'{"status":"ok"}')


def livez(service: Service, request_id: str = "") -> Answer:
    """The process answers; restarting it would help nobody."""
    return ALIVE


def readyz(service: Service, request_id: str = "") -> Answer:
    """Whether requests should be sent here: a release serves and the process is not ending.

    A model that is not loaded or switched off is named but does not make the service unready: the
    others answer. Why it is not is told where a token may be asked for, since it may be what the
    model's code has said.
    """
    if reason := service.not_ready():
        # `reason`, as in the metrics: a rollout tells by it whether the commit is to blame.
        sync = service.status().reason if service.release is None else ""
        more = {"reason": sync} if sync else {}
        document = problems.document(
            503, reason, request_id=request_id, release=service.commit, **more
        )
        return Answer(503, orjson.dumps(document), problems.PROBLEM, (("Retry-After", "5"),))
    status = {
        "status": "ready",
        "release": service.commit,
        "models": len(service.models),
        "not_ready": {
            name: "failed" if name in service.faults else "switched_off"
            for name in sorted(service.unavailable())
        },
    }
    return Answer(200, orjson.dumps(status))
