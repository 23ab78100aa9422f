"""Texts without what is secret in them: the one place that the log, the answers and the files of a
release rely on.

What a model raises may quote whatever it was given to connect with. Such a text is made harmless
where it is made (`models.diagnosis`, `inference.dataplane`), so that all who show it show the same; the log
does so with every line, besides. Every pattern takes time linear in the text's length: repeats are
bounded, or end at what they cannot hold.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any
from urllib.parse import quote

HIDDEN = "***"

LONGEST = 20_000
"""Characters that are looked at of a text that is cut anyway."""

REREAD = 1.0
"""Seconds for which secrets that are in files are not read again, but for the log."""

Secrets = Iterable[str] | Callable[[], Iterable[str]]

_URL_CREDENTIALS = re.compile(
    r"""(?<=://)(?:
        [^\s/"']*@
      | [^\s/@:\["']*:(?!\d{1,5}[/?#])[^\s"']{1,64}@    # a slash in the password
    )""",
    re.VERBOSE,
)

_KEY = re.compile(
    r"""(?P<key>
      (?: passw(?:or)?d\w{0,32} | passphrase\w{0,32} | pwd\w{0,32} | secret\w{0,32} | credentials?
        | tokens?(?!\W{1,8}\d{1,5}\b)                  # but max_tokens=512
        | (?:access|account|api|encryption|private|shared|signing)[_\- ]?key\w{0,32} | authorization
        | pass(?=[\\"']{0,4}=|[\\"']{1,4}:) | sig(?:nature)?(?==) )
      [\\"']{0,4} \s{0,4} (?:=>|[=:]) \s{0,4}
    )
    (?!\*\*\*)
    (?:[\w.]{0,40}\()? (?:[bruf]{1,2}(?=["']))?       # SecretStr('...'), b'...'
    (?:
        (?:"(?:[^"\\]|\\.)*"?)+ | (?:'(?:[^'\\]|\\.)*'?)+
      | \\+["'][^"'\\]*                               # quotes within a text that is quoted itself
      | [\[({][^\])}]*
      | (?:(?:bearer|basic|digest|token|apikey)\s{1,4})? [^\s"'&;,]+ (?:,[^\s"'&;,]+)*
    )""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)

_TELLING = re.compile(
    r"""-----BEGIN\ [A-Z0-9 ]{0,30}PRIVATE\ KEY-----.*?
        (?:-----END\ [A-Z0-9 ]{0,30}PRIVATE\ KEY-----|\Z)
      | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b
      | (?<![\w-])(?:gh[pousr]_\w{16,} | github_pat_\w{16,} | glpat-[\w-]{16,} | xox[abprs]-[\w-]{10,})
      | (?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?  # a JSON web token
    """,
    re.VERBOSE | re.DOTALL,
)

_BEARER = re.compile(r"\b(bearer\s{1,4})[\w.~+/-]{6,}=*", re.IGNORECASE)


class Redactor:
    """Replaces credentials, known as secrets or not, by `***`, in text and in whatever holds text."""

    def __init__(self, secrets: Secrets = ()) -> None:
        self._secrets = secrets if callable(secrets) else lambda: secrets
        self._seen: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        self._asked = 0.0

    def __call__(self, value: Any) -> Any:
        """Give the value with every secret in it replaced; dicts and lists are copied, other types
        kept.
        """
        self._ask()
        return self._redact(value)

    def text(self, text: str) -> str:
        """Give the text with every secret in it replaced."""
        if monotonic() - self._asked > REREAD:
            self._ask()
        return self._text(text)

    def _redact(self, value: Any) -> Any:
        match value:
            case str():
                return self._text(value)
            case dict():
                return {self._redact(key): self._redact(item) for key, item in value.items()}
            case list() | tuple() | set() | frozenset():
                return [self._redact(item) for item in value]
            case int() | float() | None:
                return value
        return self._text(str(value))

    def _text(self, text: str) -> str:
        if self._pattern:
            text = self._pattern.sub(HIDDEN, text)
        if "://" in text:
            text = _URL_CREDENTIALS.sub(f"{HIDDEN}@", text)
        text = _TELLING.sub(HIDDEN, text)
        if "=" in text or ":" in text:
            text = _KEY.sub(rf"\g<key>{HIDDEN}", text)
        return _BEARER.sub(rf"\1{HIDDEN}", text)

    def _ask(self) -> None:
        self._asked = monotonic()
        new = {secret for raw in self._secrets() if (secret := raw.strip())} - self._seen
        if not new:
            return
        # A rotated secret stays hidden under its old value as well: that may still be valid
        # somewhere.
        seen = self._seen | new
        forms = {form for secret in seen for form in (secret, quote(secret, safe=""))}
        self._pattern = re.compile(
            "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
        )
        self._seen = seen


_redactor = Redactor()


def set_secrets(secrets: Secrets) -> Redactor:
    """Hide these, too, in this process from now on; a callable is asked again and again, as they
    may be rotated.
    """
    global _redactor
    _redactor = Redactor(secrets)
    return _redactor


def redacted(text: str, limit: int = LONGEST) -> str:
    """The text without credentials, cut to `limit` characters."""
    if len(text) > LONGEST:
        # Half a word at the end might be half a secret, which nobody would know for one.
        text = text[:LONGEST].rpartition(" ")[0] or text[:LONGEST]
    text = _redactor.text(text)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
