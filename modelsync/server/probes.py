"""The probes `/livez` and `/readyz`, answered in the event loop without Flask, thread or model."""

from __future__ import annotations

import orjson

from modelsync import problems
from modelsync.inference.serving import Service
from modelsync.problems import Answer

ALIVE = Answer(200, b'{"status":"ok"}')


def livez(service: Service, request_id: str = "") -> Answer:
    """Return 200: the process answers, so a restart would not help."""
    return ALIVE


def readyz(service: Service, request_id: str = "") -> Answer:
    """Return 200 if requests should be sent here: a release serves and the process is not ending.

    A model that is not loaded, or switched off, is named but does not make the service unready: the
    others answer. The reason is left to routes that can ask for a token, since it may be a message
    of the model's code.
    """
    if reason := service.not_ready():
        # `reason` is that of the metrics: by it a rollout decides whether the commit is to blame.
        more = {}
        if service.release is None:
            status = service.status()
            why = status.reason or ("" if status.message else problems.FIRST_SYNC)
            more = {"reason": why} if why else {}
        elif not service.draining:
            more = {"reason": problems.NO_MODEL}
        document = problems.document(
            503, reason, request_id=request_id, release=service.commit, **more
        )
        return Answer(503, orjson.dumps(document), problems.PROBLEM, (("Retry-After", "5"),))
    ready = {
        "status": "ready",
        "release": service.commit,
        "models": len(service.models),
        "not_ready": {
            name: "switched_off" if service.dataplane.breaker.is_open(name) else "failed"
            for name in sorted(service.unavailable())
        },
    }
    return Answer(200, orjson.dumps(ready))
