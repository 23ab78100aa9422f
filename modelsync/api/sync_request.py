"""A request for a sync: with the admin token, or signed as a webhook of a git host."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flask import Response, request

from modelsync.api import replies, webhooks
from modelsync.errors import ModelUnavailable, SettingsError
from modelsync.server.auth import Scope
from modelsync.settings import Access

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """A request that may be made. `forced`: whatever was found before is found out again.

    `answer` is that to a webhook which asks for no sync: a ping, or another branch; else None.
    """

    forced: bool = False
    answer: Response | None = None


def accept(access: Access, refs: Iterable[str], require: Callable[[Scope], None]) -> SyncRequest:
    """Authenticate the current request; `require` raises if its token lacks a scope, `refs` are
    those that are followed. Raises RequestError.
    """
    # The order matters: the size is checked before the signature, the signature before the body is
    # parsed.
    body = replies.body(webhooks.MAX_BODY)
    if not _is_webhook(access):
        require("admin")
        # Never for a webhook: who may push may not have what was rejected checked for ever.
        return SyncRequest(forced=request.args.get("force", "") in ("true", "1"))
    webhooks.verify(request.headers, body, _secret(access))
    if webhooks.is_ping(request.headers):
        return SyncRequest(answer=replies.json({"status": "pong"}))
    event = webhooks.payload(request.headers.get("Content-Type", ""), body)
    reasons = [webhooks.ignore_reason(event, ref) for ref in refs]
    if None in reasons:
        return SyncRequest()
    return SyncRequest(answer=replies.json({"status": "ignored", "reason": reasons[0]}, 202))


def _is_webhook(access: Access) -> bool:
    """Whether the request must be signed as a webhook; otherwise it needs the admin token.

    A request with neither a signature nor a token gets the error of the method that the settings
    allow.
    """
    if request.headers.get("Authorization", "").lower().startswith("bearer "):
        return False
    if webhooks.is_webhook(request.headers):
        return True
    return bool(access.webhook_secret) and not access.admin_tokens


def _secret(access: Access) -> str:
    try:
        return access.webhook_secret.read()
    except SettingsError as error:
        log.error("%s: webhooks are refused until it can be read", error)
        raise ModelUnavailable("the webhook secret cannot be read; the log says why") from None
