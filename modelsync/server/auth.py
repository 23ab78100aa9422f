"""Authorization by bearer tokens (RFC 6750) with the scopes predict, train and admin.

It is free of Flask, because the event loop uses it too. A wider scope includes the narrower ones:
an admin token may train, a train token may predict. What each scope allows:

- predict: predictions and all that describes the models (the page, status, usage, OpenAPI, the last
  sync). Open to everybody while no predict token is set.
- train: fitting models. Refused to everybody until a train or an admin token is set.
- admin: syncing. Refused to everybody until an admin token is set.

Probes, `/metrics` (which holds no secret) and the docs page's own files are always open.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from time import monotonic
from typing import Literal

from modelsync.errors import Forbidden, SettingsError, Unauthenticated
from modelsync.settings import Access, Secret

log = logging.getLogger(__name__)

Scope = Literal["predict", "train", "admin"]

SCOPES: tuple[Scope, ...] = ("predict", "train", "admin")
"""From the narrowest scope to the widest; each includes those before it."""

SETTING: dict[Scope, str] = {
    "predict": "MODELSYNC_PREDICT_TOKENS",
    "train": "MODELSYNC_TRAIN_TOKENS",
    "admin": "MODELSYNC_ADMIN_TOKENS",
}
"""The setting that holds the tokens of a scope."""

REREAD = 1.0
"""Seconds after which the tokens are read again.

Rotated files then need no restart, and requests do not wait for the disk.
"""


@dataclass(frozen=True, slots=True)
class _Tokens:
    """SHA-256 digests of the tokens, so that all have one length and no token stays in memory."""

    digests: tuple[tuple[Scope, bytes], ...]
    read_at: float

    def scopes_of(self, token: bytes) -> set[Scope]:
        """Return the scopes of a token.

        Every known token is compared, so that the duration reveals nothing about any of them.
        """
        digest = sha256(token).digest()
        return {scope for scope, known in self.digests if hmac.compare_digest(digest, known)}

    def has_any(self, scope: Scope) -> bool:
        """Return whether some token has `scope`, or a wider one."""
        return any(SCOPES.index(held) >= SCOPES.index(scope) for held, _ in self.digests)


class Authorizer:
    """Checks the token of a request against the tokens of the settings."""

    def __init__(self, access: Access, clock: Callable[[], float] = monotonic) -> None:
        self._secrets: Mapping[Scope, Secret] = {
            "predict": access.predict_tokens,
            "train": access.train_tokens,
            "admin": access.admin_tokens,
        }
        self._clock = clock
        self._unreadable: set[Scope] = set()
        self._tokens = self._read()

    @property
    def open_to_all(self) -> bool:
        """Whether predictions need no token."""
        return not self._secrets["predict"]

    def require(self, scope: Scope, authorization: str | None) -> None:
        """Check that the token of the `Authorization` header has `scope`.

        Raises Unauthenticated without a known token, Forbidden if the scope of the token is too
        narrow or no token of the scope is set.
        """
        if scope == "predict" and self.open_to_all:
            return
        tokens = self._current()
        if scope != "predict" and not tokens.has_any(scope):
            raise Forbidden(f"this is refused until a token is set: {_settings(scope)}")
        held = tokens.scopes_of(_bearer(authorization))
        if not held:
            raise Unauthenticated("unknown token")
        if max(map(SCOPES.index, held)) < SCOPES.index(scope):
            raise Forbidden(f"this token lacks the scope: use one of {_settings(scope)}")

    def _current(self) -> _Tokens:
        if self._clock() - self._tokens.read_at >= REREAD:
            self._tokens = self._read()
        return self._tokens

    def _read(self) -> _Tokens:
        digests = [
            (scope, sha256(token.strip().encode()).digest())
            for scope, secret in self._secrets.items()
            for token in self._read_setting(scope, secret).split(",")
            if token.strip()
        ]
        return _Tokens(tuple(digests), self._clock())

    def _read_setting(self, scope: Scope, secret: Secret) -> str:
        """Return the setting of a scope, empty if its file cannot be read.

        No token then has the scope: access is refused rather than granted.
        """
        try:
            text = secret.read()
        except SettingsError as error:
            if scope not in self._unreadable:
                log.error("%s: no token has the scope %s until it can be read", error, scope)
            self._unreadable.add(scope)
            return ""
        self._unreadable.discard(scope)
        return text


def _bearer(authorization: str | None) -> bytes:
    """Return the token of an `Authorization` header in the bytes that the client has sent.

    Headers are decoded as Latin-1. Raises Unauthenticated if the header holds no token.
    """
    if not authorization:
        raise Unauthenticated(
            "this needs a token, sent in the header Authorization as: Bearer <token>"
        )
    scheme, _, token = authorization.strip().partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("the Authorization header must read: Bearer <token>")
    try:
        return token.strip().encode("latin-1")
    except UnicodeEncodeError:
        return token.strip().encode("utf-8", "surrogateescape")


def _settings(scope: Scope) -> str:
    names = [SETTING[allowed] for allowed in SCOPES[SCOPES.index(scope) :]]
    return " or ".join(names)
