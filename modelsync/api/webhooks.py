"""Verifies webhooks of git hosts, and checks whether a push concerns the followed ref.

GitHub: https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries. Gitea and
Forgejo sign in the same way, without the prefix `sha256=`. GitLab sends the secret itself:
https://docs.gitlab.com/user/project/integrations/webhooks.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

import orjson
from werkzeug.datastructures import Headers

from modelsync.errors import Forbidden, MalformedBody, Unauthenticated

MAX_BODY = 1024**2
"""The largest body of a webhook, in bytes; a push event is far smaller."""


def _hex_digest(secret: bytes, body: bytes) -> str:
    return hmac.digest(secret, body, "sha256").hex()


SIGNATURES: dict[str, Callable[[bytes, bytes], str]] = {
    "X-Hub-Signature-256": lambda secret, body: f"sha256={_hex_digest(secret, body)}",
    "X-Forgejo-Signature": _hex_digest,
    "X-Gitea-Signature": _hex_digest,
    "X-Gitlab-Token": lambda secret, body: secret.decode("latin-1"),
}
"""The value that each header must have, from secret and body. The first header that a request has
is verified. SHA-1 (`X-Hub-Signature`) is not accepted.
"""

_OTHER_HEADERS = (
    "X-Hub-Signature",
    "X-GitHub-Event",
    "X-Gitea-Event",
    "X-Forgejo-Event",
    "X-Gitlab-Event",
)
"""Further headers that only webhooks have; they prove nothing."""


def is_webhook(headers: Headers) -> bool:
    """Whether a request has a header that only git hosts send."""
    return any(name in headers for name in (*SIGNATURES, *_OTHER_HEADERS))


def verify(headers: Headers, body: bytes, secret: str) -> None:
    """Check that a header signs `body` with `secret`.

    Raises Unauthenticated if the signature is missing or wrong, Forbidden if `secret` is empty.
    """
    if not secret:
        raise Forbidden("webhooks are refused until MODELSYNC_WEBHOOK_SECRET is set")
    name = next((name for name in SIGNATURES if name in headers), None)
    if name is None:
        raise Unauthenticated(
            f"the webhook is not signed: it needs one of {', '.join(SIGNATURES)} (SHA-1 is refused)"
        )
    expected = SIGNATURES[name](secret.encode(), body)
    if not hmac.compare_digest(_bytes(headers[name]), _bytes(expected)):
        raise Unauthenticated(
            f"{name} is wrong: is the secret at the git host the one of MODELSYNC_WEBHOOK_SECRET?"
        )


def payload(content_type: str, body: bytes) -> dict[str, Any]:
    """The event: JSON, or JSON in the form field `payload`, which is GitHub's default.

    Raises MalformedBody.
    """
    raw: bytes | str = body
    if content_type.lower().startswith("application/x-www-form-urlencoded"):
        raw = parse_qs(body.decode("utf-8", "replace")).get("payload", [""])[0]
    try:
        event = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise MalformedBody(f"the webhook's body is not JSON: {error.msg}", error.pos) from None
    if not isinstance(event, dict):
        raise MalformedBody("the webhook's body is not a JSON object")
    return event


def is_ping(headers: Headers) -> bool:
    """Whether this is the event that GitHub sends to a new webhook."""
    return headers.get("X-GitHub-Event", "").lower() == "ping"


def ignore_reason(event: Mapping[str, Any], followed: str) -> str | None:
    """Why a push does not concern the followed ref (`MODELSYNC_GIT_REF`); None if it may.

    If in doubt, None: an unnecessary sync only asks the remote for its refs.
    """
    pushed = event.get("ref")
    if not isinstance(pushed, str) or not pushed.startswith(("refs/heads/", "refs/tags/")):
        return None
    if re.fullmatch(r"[0-9a-f]{7,64}", followed):
        return None
    wanted = _default_branch(event) if followed == "HEAD" else followed
    if wanted is None or wanted in {pushed, pushed.split("/", 2)[2]}:
        return None
    return f"the push is to {pushed}; this service follows {wanted}"


def _default_branch(event: Mapping[str, Any]) -> str | None:
    """The ref that HEAD points to, None if the event does not hold it.

    GitHub, Gitea and Forgejo have it under `repository`, GitLab under `project`.
    """
    for key in ("repository", "project"):
        about = event.get(key)
        branch = about.get("default_branch") if isinstance(about, dict) else None
        if isinstance(branch, str) and branch:
            return f"refs/heads/{branch}"
    return None


def _bytes(header: str) -> bytes:
    return header.strip().encode("latin-1", "replace")
