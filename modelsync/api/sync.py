"""`/<base>/sync`: POST requests a sync, GET returns the result of the last sync.

A POST needs the admin token, or the signature of a git host's webhook.
"""

from __future__ import annotations

import logging
from typing import Any

from flask import Response

from modelsync.api import models, replies, sync_request
from modelsync.api.operations import Operation, operation, read, success
from modelsync.api.resource import Context, Route
from modelsync.inference.serving import Service
from modelsync.sync.status import Status

log = logging.getLogger(__name__)

NO_SUPERVISOR = (
    "this process runs without a supervisor, which syncs: run `modelsync serve`, or "
    "run `modelsync sync` and restart this process"
)


def routes(context: Context) -> list[Route]:
    """The routes that request a sync and describe the last one."""
    service = context.service
    path = f"{context.base}/sync"

    def request_sync() -> Response:
        """Authenticate the request, then ask the supervisor for a sync."""
        settings = service.settings
        asked = sync_request.accept(settings.access, [settings.git.ref], context.require)
        if asked.answer is not None:
            return asked.answer
        if not settings.git.follows:
            return replies.problem(409, _pinned(service), model=None, release=service.commit)
        if service.request_sync is None:
            return replies.problem(503, NO_SUPERVISOR, model=None, release=service.commit)
        service.request_sync(asked.forced)
        fields = {"request_id": replies.request_id(), "event": "sync_asked", "forced": asked.forced}
        log.info("sync requested", extra={"fields": fields})
        return replies.json({"status": "accepted", "see": path}, 202, (("Location", path),))

    def sync_status() -> Response:
        context.require("predict")
        return replies.json(last_sync(service))

    about_status = read(
        "sync_status", "The result of the last sync", needs_token=context.predict_needs_token
    )
    return [
        Route("GET", path, sync_status, about_status, link="sync"),
        Route("POST", path, request_sync, _request_operation()),
    ]


def _request_operation() -> Operation:
    return operation(
        "sync",
        "service",
        "Look for a new commit now",
        {
            "200": success("Answer to the ping of a new webhook"),
            "202": success("Accepted; or ignored, where another branch was pushed"),
        },
        problems=("400", "401", "403", "409", "413", "503"),
        description="With an admin token, or as a signed webhook of GitHub, GitLab, Gitea or "
        "Forgejo. With an admin token `?force=true` checks and serves the commit again, whatever "
        "was found before.",
        security=[{"token": []}, {}],
    )


def last_sync(service: Service) -> dict[str, Any]:
    """The result of the last sync, the commit that this process serves, and the next sync.

    `wanted` is the commit that the ref pointed to, null if the last sync could not resolve it.
    `served` is the commit whose models this process serves, `in_step` whether it is the wanted one
    (false if that is unknown). `pinned` is the commit that this process serves regardless of the
    ref, or null. `instead` is `cache` or `folder` while that replaces an unreachable repository.
    `result` is `published`, `unchanged`, `partly` for either if a model is broken, `failed`, or
    null before the first sync. `broken` maps each model that is not ready or not up to date to
    the reason. Times are in ISO 8601; `next` is
    the time of the supervisor's next scheduled sync.
    """
    status = service.status()
    reasons = {model.name: model.reason for model in models.summaries(service) if model.reason}
    done = status.last_result in {"published", "unchanged"}
    return {
        "wanted": status.wanted_commit or None,
        "served": served_commit(service, status),
        "pinned": service.settings.git.revision.commit or None,
        "instead": _substitute(service, status),
        "in_step": is_in_step(service, status),
        "result": "partly" if reasons and done else status.last_result or None,
        "reason": status.reason or None,
        "message": status.message or None,
        "broken": reasons,
        "time": status.last_attempt or None,
        "last_success": status.last_success or None,
        "next": (service.request_sync and status.next_attempt) or None,
    }


def served_commit(service: Service, status: Status) -> str | None:
    """The newest commit whose models this process serves.

    After a commit that changes no model, this is that commit, although the process keeps serving
    the release of an earlier one.
    """
    is_newest = service.release and service.release.id == status.release
    return (status.served_commit if is_newest else None) or service.commit


def is_in_step(service: Service, status: Status) -> bool:
    """Whether this process serves the models of the wanted commit; false if that is unknown.

    Before the first sync no commit is wanted, so any release is in step.
    """
    if service.commit is None:
        return False
    before_first_sync = not status.wanted_commit and not status.last_result
    return before_first_sync or status.wanted_commit == served_commit(service, status)


def _substitute(service: Service, status: Status) -> str | None:
    """The source that this process serves because it cannot reach the repository, else None."""
    source = service.release.source if service.release else "git"
    follows_git = not service.settings.standalone
    return source if follows_git and source != "git" and status.last_result == "failed" else None


def _pinned(service: Service) -> str:
    git, rollout = service.settings.git, service.settings.rollout
    job = f"{rollout.deployment or 'NAME'}-rollout"
    pin = (
        f"serves the pinned commit {git.revision.commit[:12]}" if git.revision else "is not pinned"
    )
    return (
        f"this pod {pin} and does not follow the "
        "repository by itself; to roll out its newest commit now: "
        f"kubectl create job --from=cronjob/{job} sync-now"
    )
