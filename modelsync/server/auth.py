"""Who may do what: bearer tokens with the scopes predict, train and admin. Free of Flask: the
worker asks it too.

A wider scope holds the narrower ones: an admin token may train, a train token may predict. What
each scope opens:

- predict: predicting and everything that tells of the models (the page, status, usage, OpenAPI, the last sync). Open to
  everybody while no predict token is set.
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
"""From the narrowest to the widest; each holds those before it."""

SETTING: dict[Scope, str] = {
    "predict": "MODELSYNC_PREDICT_TOKENS",
    "train": "MODELSYNC_TRAIN_TOKENS",
    "admin": "MODELSYNC_ADMIN_TOKENS",
}

REREAD = 1.0
"""Seconds after which the tokens are read again, so that rotated files need no restart and requests
read no files.
"""


@dataclass(frozen=True, slots=True)
class _Tokens:
    """SHA-256 digests by scope: equal lengths for the comparison, and no token kept in memory."""

    digests: tuple[tuple[Scope, bytes], ...]
    read_at: float

    def scopes_of(self, token: bytes) -> set[Scope]:
        """The scopes of a token. Every known token is compared, so the time tells nothing about any
        of them.
        """
        digest = sha256(token).digest()
        return {scope for scope, known in self.digests if hmac.compare_digest(digest, known)}

    def any_from(self, scope: Scope) -> bool:
        """Whether some token holds `scope`."""
        return any(SCOPES.index(held) >= SCOPES.index(scope) for held, _ in self.digests)


class Authorizer:
    """Asks for a token where one is needed."""

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
        """Whether anybody may predict."""
        return not self._secrets["predict"]

    def require(self, scope: Scope, authorization: str | None) -> None:
        """Return where the `Authorization` header's token holds `scope`.

        Raises Unauthenticated without a known token, Forbidden where the token is too narrow or
        nobody has the scope.
        """
        if scope == "predict" and self.open_to_all:
            return
        tokens = self._current()
        if scope != "predict" and not tokens.any_from(scope):
            raise Forbidden(f"nobody may do this until a token is set: {_settings(scope)}")
        held = tokens.scopes_of(_bearer(authorization))
        if not held:
            raise Unauthenticated("this token is not known")
        if max(map(SCOPES.index, held)) < SCOPES.index(scope):
            raise Forbidden(f"this token may not do this: it takes one of {_settings(scope)}")

    def _current(self) -> _Tokens:
        if self._clock() - self._tokens.read_at >= REREAD:
            self._tokens = self._read()
        return self._tokens

    def _read(self) -> _Tokens:
        digests = [
            (scope, sha256(token.strip().encode()).digest())
            for scope, secret in self._secrets.items()
            for token in self._text(scope, secret).split(",")
            if token.strip()
        ]
        return _Tokens(tuple(digests), self._clock())

    def _text(self, scope: Scope, secret: Secret) -> str:
        """The tokens of a scope as they are written; none where their file cannot be read: shut
        rather than open.
        """
        try:
            text = secret.read()
        except SettingsError as error:
            if scope not in self._unreadable:
                log.error("%s: nobody has the scope %s until it can be read", error, scope)
            self._unreadable.add(scope)
            return ""
        self._unreadable.discard(scope)
        return text


def _bearer(authorization: str | None) -> bytes:
    """The token of an `Authorization` header as the bytes that were sent (headers are decoded as
    Latin-1).
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
    names = [SETTING[one] for one in SCOPES[SCOPES.index(scope) :]]
    return " or ".join(names)
