"""Turns what uv says into a `Fault`: its own words, shortened, and the line that they are about."""

from __future__ import annotations

import re

from modelsync.environments.requirements import Requirements
from modelsync.models import diagnosis
from modelsync.models.types import Fault

_AWAY = re.compile(
    r"error sending request|dns error|connect error|connection (?:refused|reset)|timed out"
    r"|HTTP status server error|after \d+ retries|network was disabled|network connectivity"
    r"|could not resolve host|failed to connect to",
    re.IGNORECASE,
)
"""What uv says where the network or the index fails, and the same may succeed later."""

_LOGIN = re.compile(r"\((40[137])[ )]|\b(40[137]) (?:Unauthorized|Forbidden|Proxy)", re.IGNORECASE)
_NOISE = re.compile(
    r",? we can conclude that your (?:project's )?requirements are unsatisfiable"
    r"|No solution found when resolving dependencies(?: for split.*)?\n"
    r"|^error: Couldn't parse requirement in `.*` at position \d+$|^ *\^+$"
    r"|^ *(?:error|cause):|^Using (?:Python|CPython) .*$|^Resolved .*$|^hint: .*$",
    re.MULTILINE,
)


def explain(words: str, requirements: Requirements) -> Fault:
    """Return the fault of a set that does not resolve or build, from what uv wrote."""
    words = _unwrapped(words)
    if is_away(words):
        return away(requirements, _about(words))
    file, line = _place(words, requirements)
    message = diagnosis.plain(_shortened(words))
    full = "No space left" in words  # which passes as the state directory is cleared
    return Fault("environment", message, file, line, _hint(words), transient=full)


def is_away(words: str) -> bool:
    """Tell whether uv failed because the index cannot be reached, which may pass."""
    return bool(_AWAY.search(_unwrapped(words)))


def away(requirements: Requirements, what: str = "") -> Fault:
    """Return the fault of a set whose packages cannot be downloaded now."""
    message = diagnosis.plain(f"the package index cannot be reached{what}")
    hint = "it is tried again; to do without, use `modelsync environments build` beforehand"
    return Fault("environment", message, requirements.main, hint=hint, transient=True)


def _unwrapped(words: str) -> str:
    """Join the lines that uv has broken to fit a terminal; it indents the rest of each."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", words)
    return re.sub(r"(?<=\S)\n {7,}(?=\S)", " ", plain)


def _about(words: str) -> str:
    """Name the host that did not answer, and why; empty if it was not asked again."""
    if "network was disabled" in words:
        return ""
    host = re.search(r"https?://(?:[^\s/@]*@)?([\w.:\[\]-]+)", words)
    causes = re.findall(r"^ *cause: *(.*)$", words, re.MULTILINE)
    why = re.split(r" for url\b", causes[-1])[0] if causes else ""
    return f": {': '.join(filter(None, (host[1] if host else '', why)))}" if host or why else ""


def _shortened(words: str) -> str:
    """Drop what uv says in each error, so that the reason comes first."""
    return re.sub(r"\s*\.(?=\s|$)", ".", " ".join(_NOISE.sub("", words).split())).strip()


def _place(words: str, requirements: Requirements) -> tuple[str, int | None]:
    """Return the file and the line that an error is about; without a line if that is unknown."""
    if found := re.search(r"([\w./-]+):(\d+):\d+", words):
        return found[1].removeprefix("./"), int(found[2])
    if found := re.search(r"`([^`\n]+)` at position (\d+)", words):
        before = requirements.files.get(found[1], b"")[: int(found[2])]
        return found[1], before.count(b"\n") + 1
    for name in re.findall(r"you require ([A-Za-z0-9][\w.-]*)", words):
        for line in requirements.lines():
            if _normal(re.split(r"[^\w.-]", line.text)[0]) == _normal(name):
                return line.file, line.number
    return requirements.main, None


def _normal(name: str) -> str:
    """Return a package's name in the form in which names are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _hint(words: str) -> str | None:
    if found := _LOGIN.search(words):
        code = found[1] or found[2]
        return f"the index answers {code}: check its URL and credentials (UV_DEFAULT_INDEX)"
    if "uv.lock" in words or "lockfile" in words:
        return "run `uv lock`, and commit uv.lock"
    return None
