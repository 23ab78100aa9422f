"""Tells the URL that a client has named of a job's end: a POST with the job as JSON.

Signed like GitHub's webhooks if MODELSYNC_WEBHOOK_SECRET is set: the header `X-Hub-Signature-256`
is `sha256=` and the HMAC of the body, in hex.
"""

from __future__ import annotations

import hmac
import logging
import threading
import time
from typing import TYPE_CHECKING

import orjson

from modelsync import __version__
from modelsync.backoff import Backoff
from modelsync.errors import ModelsyncError, SettingsError
from modelsync.observability.logs import event
from modelsync.settings import Settings
from modelsync.store.records import Job
from modelsync.training.operation import operation

if TYPE_CHECKING:  # every process that serves imports this module, and few use the store
    from modelsync.store.catalog import Catalog

log = logging.getLogger(__name__)

TRIES = 4

PAUSES = Backoff(first=1.0, most=8.0)
"""Seconds between two tries."""

TIMEOUT = 10.0
"""Seconds for one try."""


def deliver(catalog: Catalog, job: Job, config: Settings) -> bool:
    """Post a job that has ended to its `webhook`; whether it was accepted with a status of 2xx.

    Redirects are not followed, and nothing but the job is sent. A receiver that is away, busy (429)
    or broken (5xx) is tried again, for some seconds; then this is logged.
    """
    body = orjson.dumps(_document(catalog, job))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": f"modelsync/{__version__}",
        "X-Modelsync-Event": "job",
        "X-Modelsync-Delivery": job.id,  # the same at each try
        **_signature(config, body),
    }
    problem = ""
    for attempt in range(1, TRIES + 1):
        status, problem = _post(job.asked.webhook, body, headers)
        if 200 <= status < 300:
            return True
        if status and status != 429 and status < 500:
            break
        if attempt < TRIES:
            time.sleep(PAUSES.pause(attempt))
    message = f"the webhook of the job was not delivered: {problem}"
    event(log, logging.WARNING, message, event="job_webhook", job=job.id, model=job.model)
    return False


def _document(catalog: Catalog, job: Job) -> dict[str, object]:
    try:
        version = catalog.version(job.model, f"v{job.number}") if job.state == "done" else None
    except ModelsyncError:  # the store is away, or the version is deleted: the job says enough
        version = None
    return operation(job, version)


def _post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, str]:
    """Return the status of the answer, 0 without one, and what was wrong."""
    import requests  # here: few jobs have a webhook, and it takes a while to load

    answered: list[tuple[int, str]] = []

    def post() -> None:
        try:
            answer = requests.post(
                url, data=body, headers=headers, timeout=TIMEOUT, allow_redirects=False, stream=True
            )
        except (requests.RequestException, ValueError) as error:
            answered.append((0, type(error).__name__))
        else:
            answer.close()
            answered.append((answer.status_code, f"it answers {answer.status_code}"))

    # In a thread, because requests waits so long for each byte: one may trickle for ever.
    thread = threading.Thread(target=post, daemon=True)
    thread.start()
    thread.join(2 * TIMEOUT)
    return answered[0] if answered else (0, "Timeout")


def _signature(config: Settings, body: bytes) -> dict[str, str]:
    try:
        secret = config.access.webhook_secret.read()
    except SettingsError as error:
        log.error("%s", error)
        return {}
    if not secret:
        return {}
    digest = hmac.digest(secret.encode(), body, "sha256").hex()
    return {"X-Hub-Signature-256": f"sha256={digest}"}
