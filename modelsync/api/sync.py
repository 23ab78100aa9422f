"""`/<base>/sync`: ask for a sync, with the admin token or as a webhook of the git host; read how
the last one went.
"""

from __future__ import annotations

import logging
from typing import Any

from flask import Flask, Response, request

from modelsync.api import models, replies, webhooks
from modelsync.errors import ModelUnavailable, SettingsError
from modelsync.inference.serving import Service
from modelsync.server.auth import Authorizer
from modelsync.sync.status import Status

log = logging.getLogger(__name__)

NO_SUPERVISOR = (
    "nothing here can sync: run `modelsync serve`, or `modelsync sync` and start this process again"
)


def register(app: Flask, service: Service, authorizer: Authorizer) -> None:
    """Add the routes."""
    link = f"{service.base}/sync"

    @app.post(link)
    def ask() -> Response:
        # The order matters: nothing unbounded is read, and nothing unsigned is parsed.
        body = replies.body(webhooks.MAX_BODY)
        if _is_webhook(service, authorizer):
            webhooks.verify(request.headers, body, _webhook_secret(service))
            if webhooks.is_ping(request.headers):
                return replies.json({"status": "pong"})
            event = webhooks.payload(request.headers.get("Content-Type", ""), body)
            if reason := webhooks.ignored(event, service.settings.git.ref):
                return replies.json({"status": "ignored", "reason": reason}, 202)
        else:
            authorizer.require("admin", request.headers.get("Authorization"))
        if service.settings.git.revision:
            return replies.problem(409, _pinned(service), model=None, release=service.commit)
        if service.request_sync is None:
            return replies.problem(503, NO_SUPERVISOR, model=None, release=service.commit)
        service.request_sync()
        log.info(
            "sync asked for",
            extra={"fields": {"request_id": replies.request_id(), "event": "sync_asked"}},
        )
        return replies.json({"status": "accepted", "see": link}, 202, (("Location", link),))

    @app.get(link)
    def last() -> Response:
        authorizer.require("predict", request.headers.get("Authorization"))
        return replies.json(last_sync(service))


def last_sync(service: Service) -> dict[str, Any]:
    """How the last sync went and when the next one is due; `served` is the commit that this process
    answers for.

    `wanted` is null where the last sync could not find out; then `in_step` is false. `result` is
    `published`, `unchanged`, `failed` or null where there was none; `broken` tells by model why it
    is not ready or not up to date. `pinned` is the commit that this process serves whatever the ref
    points to, or null. `instead` is `cache` or `folder` where that serves until the repository can
    be reached. Times in ISO 8601; `next` is the one at which the supervisor syncs by itself.
    """
    status = service.status()
    return {
        "wanted": status.wanted_commit or None,
        "served": served(service, status),
        "pinned": service.settings.git.revision.commit or None,
        "instead": instead(service, status),
        "in_step": in_step(service, status),
        "result": status.last_result or None,
        "reason": status.reason or None,
        "message": status.message or None,
        "broken": {line.name: line.reason for line in models.lines(service) if line.reason},
        "time": status.last_attempt or None,
        "last_success": status.last_success or None,
        "next": (service.request_sync and status.next_attempt) or None,
    }


def served(service: Service, status: Status) -> str | None:
    """The newest commit whose models this process answers with.

    A commit that changes no model moves it on; the release, and the processes, stay those of an
    earlier one.
    """
    moved_on = service.release and service.release.id == status.release
    return (status.served_commit if moved_on else None) or service.commit


def in_step(service: Service, status: Status) -> bool:
    """Whether the models that answer are those of the commit that is wanted; not where nobody knows
    which that is.
    """
    known = status.wanted_commit or status.last_result
    return service.commit is not None and (
        not known or status.wanted_commit == served(service, status)
    )


def instead(service: Service, status: Status) -> str | None:
    """What this process serves in place of the repository that it cannot reach; None where it does
    not.
    """
    source = service.release.source if service.release else "git"
    return (
        source
        if status.last_result == "failed" and source != "git" and not service.settings.standalone
        else None
    )


def _pinned(service: Service) -> str:
    git, rollout = service.settings.git, service.settings.rollout
    job = f"{rollout.deployment or 'NAME'}-rollout"
    return (
        f"this pod serves the pinned commit {git.revision.commit[:12]} and does not follow the repository by itself; "
        f"have all pods follow it now: kubectl create job --from=cronjob/{job} sync-now"
    )


def _is_webhook(service: Service, authorizer: Authorizer) -> bool:
    """Whether a signature is asked for rather than a token.

    With neither a signature nor a token, the answer tells what is missing of the way in that has
    been set up.
    """
    if request.headers.get("Authorization", "").lower().startswith("bearer "):
        return False
    if webhooks.is_webhook(request.headers):
        return True
    return bool(service.settings.access.webhook_secret) and not service.settings.access.admin_tokens


def _webhook_secret(service: Service) -> str:
    try:
        return service.settings.access.webhook_secret.read()
    except SettingsError as error:
        log.error("%s: webhooks are refused until it can be read", error)
        raise ModelUnavailable("the webhook secret cannot be read; the log tells why") from None
