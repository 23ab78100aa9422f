"""Webhooks of git hosts: is the signature right, and does the push concern the ref that is
followed?

GitHub: https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries. Gitea and
Forgejo sign alike, without the `sha256=` in front. GitLab sends the secret itself:
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
"""Bytes of a webhook body that are read; a push event is far smaller."""


def _hex_digest(secret: bytes, body: bytes) -> str:
    return hmac.digest(secret, body, "sha256").hex()


SIGNATURES: dict[str, Callable[[bytes, bytes], str]] = {
    "X-Hub-Signature-256": lambda secret, body: f"sha256={_hex_digest(secret, body)}",
    "X-Forgejo-Signature": _hex_digest,
    "X-Gitea-Signature": _hex_digest,
    "X-Gitlab-Token": lambda secret, body: secret.decode("latin-1"),
}
"""What each header must hold. The first one that a request has decides; SHA-1 (`X-Hub-Signature`)
is not among them.
"""

_TRACES = (
    "X-Hub-Signature",
    "X-GitHub-Event",
    "X-Gitea-Event",
    "X-Forgejo-Event",
    "X-Gitlab-Event",
)
"""Headers that also tell a webhook from a person."""


def is_webhook(headers: Headers) -> bool:
    """Whether a request comes from a git host rather than from somebody with a token."""
    return any(name in headers for name in (*SIGNATURES, *_TRACES))


def verify(headers: Headers, body: bytes, secret: str) -> None:
    """Raise Unauthenticated unless a header signs `body` with `secret`; Forbidden where there is no
    secret.
    """
    if not secret:
        raise Forbidden("webhooks are refused until MODELSYNC_WEBHOOK_SECRET is set")
    name = next((name for name in SIGNATURES if name in headers), None)
    if name is None:
        raise Unauthenticated(
            f"the webhook is not signed: it takes one of {', '.join(SIGNATURES)} (SHA-1 is refused)"
        )
    expected = SIGNATURES[name](secret.encode(), body)
    if not hmac.compare_digest(_bytes(headers[name]), _bytes(expected)):
        raise Unauthenticated(
            f"{name} is wrong: is the secret at the git host the one of MODELSYNC_WEBHOOK_SECRET?"
        )


def payload(content_type: str, body: bytes) -> dict[str, Any]:
    """The event: JSON, or JSON in the form field `payload`, which is GitHub's default. Raises
    MalformedBody.
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
    """Whether this is GitHub's greeting to a new webhook."""
    return headers.get("X-GitHub-Event", "").lower() == "ping"


def ignored(event: Mapping[str, Any], followed: str) -> str | None:
    """Why a push does not concern the ref that is followed (`MODELSYNC_GIT_REF`); None where it
    may.

    In doubt it concerns it: a sync for nothing costs one look at the remote.
    """
    pushed = event.get("ref")
    if not isinstance(pushed, str) or not pushed.startswith(("refs/heads/", "refs/tags/")):
        return None
    if re.fullmatch(r"[0-9a-f]{7,64}", followed):
        return None
    wanted = _default_branch(event) if followed == "HEAD" else followed
    if wanted is None or wanted in {pushed, pushed.split("/", 2)[2]}:
        return None
    return f"{pushed} was pushed; {wanted} is followed"


def _default_branch(event: Mapping[str, Any]) -> str | None:
    """The branch that HEAD means: GitHub, Gitea and Forgejo tell it under `repository`, GitLab
    under `project`.
    """
    for key in ("repository", "project"):
        about = event.get(key)
        if (
            isinstance(about, dict)
            and isinstance(about.get("default_branch"), str)
            and about["default_branch"]
        ):
            return f"refs/heads/{about['default_branch']}"
    return None


def _bytes(header: str) -> bytes:
    return header.strip().encode("latin-1", "replace")
