"""Redaction: replaces credentials in text, for the log, the answers and the files of a release.

A model's exception may quote the credentials that it connects with. Such a text is redacted when it
is made, so that all readers see the same; the log also redacts each line. Each pattern takes time
linear in the length of the text: repeats are bounded, or end at a character they exclude.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import islice
from time import monotonic
from typing import Any
from urllib.parse import quote

HIDDEN = "***"

LONGEST = 20_000
"""Characters of a text that are redacted; the rest is cut off."""

LONGEST_LINE = 65_536
"""Characters of a text in the log; the rest is cut off before it is redacted."""

MOST_ITEMS = 1000
"""Items of a container in the log; the rest is left out."""

REREAD = 1.0
"""Seconds after which `text` reads secrets from files again; the log reads them each time."""

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

_KNOWN_FORMS = re.compile(
    r"""-----BEGIN\ [A-Z0-9 ]{0,30}PRIVATE\ KEY-----
        .*? (?:-----END\ [A-Z0-9 ]{0,30}PRIVATE\ KEY-----|\Z)
      | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b
      | (?<![\w-])(?:gh[pousr]_\w{16,} | github_pat_\w{16,} | glpat-[\w-]{16,}
                    | xox[abprs]-[\w-]{10,})
      | (?<![\w-])eyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?  # a JSON web token
    """,
    re.VERBOSE | re.DOTALL,
)

_BEARER = re.compile(r"\b(bearer\s{1,4})[\w.~+/-]{6,}=*", re.IGNORECASE)


class Redactor:
    """Replaces known secrets, and what looks like a credential, by `***`, in text
    and containers.
    """

    def __init__(self, secrets: Secrets = ()) -> None:
        self._secrets = secrets if callable(secrets) else lambda: secrets
        self._seen: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        self._refreshed = 0.0

    def __call__(self, value: Any) -> Any:
        """Redact a value: dicts are copied, other containers become lists, other types keep their
        value. Long texts are cut and large containers shortened.
        """
        self._refresh()
        return self._redact(value)

    def text(self, text: str) -> str:
        """Redact a text."""
        if monotonic() - self._refreshed > REREAD:
            self._refresh()
        return self._text(text)

    def _redact(self, value: Any) -> Any:
        match value:
            case str():
                return self._text(_shortened(value))
            case dict():
                items = islice(value.items(), MOST_ITEMS)
                return {self._redact(key): self._redact(item) for key, item in items}
            case list() | tuple() | set() | frozenset():
                return [self._redact(item) for item in islice(value, MOST_ITEMS)]
            case int() | float() | None:
                return value
        return self._text(_shortened(str(value)))

    def _text(self, text: str) -> str:
        if self._pattern:
            text = self._pattern.sub(HIDDEN, text)
        if "://" in text:
            text = _URL_CREDENTIALS.sub(f"{HIDDEN}@", text)
        text = _KNOWN_FORMS.sub(HIDDEN, text)
        if "=" in text or ":" in text:
            text = _KEY.sub(rf"\g<key>{HIDDEN}", text)
        return _BEARER.sub(rf"\1{HIDDEN}", text)

    def _refresh(self) -> None:
        self._refreshed = monotonic()
        new = {secret for raw in self._secrets() if (secret := raw.strip())} - self._seen
        if not new:
            return
        # The old value of a rotated secret stays redacted: it may still be valid elsewhere.
        seen = self._seen | new
        forms = {form for secret in seen for form in (secret, quote(secret, safe=""))}
        self._pattern = re.compile(
            "|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True))
        )
        self._seen = seen


_redactor = Redactor()


def set_secrets(secrets: Secrets) -> Redactor:
    """Redact these secrets in this process from now on.

    A callable is called again and again, because secrets may be rotated.
    """
    global _redactor
    _redactor = Redactor(secrets)
    return _redactor


def redacted(text: str, limit: int = LONGEST) -> str:
    """The text without credentials, cut to `limit` characters."""
    if len(text) > LONGEST:
        text = _whole_words(text, LONGEST)
    text = _redactor.text(text)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _shortened(text: str) -> str:
    if len(text) <= LONGEST_LINE:
        return text
    return f"{_whole_words(text, LONGEST_LINE)}… ({len(text)} characters)"


def _whole_words(text: str, limit: int) -> str:
    """Half a word at the end may be half a secret, which no pattern would match."""
    return text[:limit].rpartition(" ")[0] or text[:limit]
