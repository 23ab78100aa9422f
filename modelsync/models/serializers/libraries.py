"""The versions of libraries that have made a stored model, compared when it is loaded."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from modelsync.errors import VersionRefused
from modelsync.models.serializers.survey import survey
from modelsync.models.versions import FittedVersion, Mismatch

PYTHON = "Python"

log = logging.getLogger(__name__)

_warned: set[tuple[str, int]] = set()


def of(obj: Any, needed: Iterable[str] = ()) -> dict[str, str]:
    """Return the versions, by distribution, of Python and of what an object is made of.

    `needed`: modules that its format needs besides.
    """
    found = survey(obj)
    modules = found.libraries | set(needed)
    if not found.is_importable:
        modules |= {"cloudpickle"}
    if "sklearn" in modules:
        modules |= {"numpy"}
    from importlib import metadata  # here: it imports the parsers of e-mail

    distributions = metadata.packages_distributions()
    names = {distributions[one][0] for one in modules if one in distributions}
    return {PYTHON: _python(), **{name: metadata.version(name) for name in sorted(names)}}


def _python() -> str:
    return ".".join(map(str, sys.version_info[:3]))


def differences(stored: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Return what differs here, by library: the version that was stored, and the one here, empty if
    it is not installed. The third number of a version does not count.
    """
    found = {}
    for name, then in stored.items():
        now = _python() if name == PYTHON else _version(name)
        if _minor(then) != _minor(now):
            found[name] = (then, now)
    return found


def _version(name: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _minor(version: str) -> list[str]:
    return version.split(".")[:2]


def shown(differences: Mapping[str, tuple[str, str]]) -> str:
    """Return differences for a message."""
    return ", ".join(
        f"{name} {then} (here {f'is {now}' if now else 'it is not installed'})"
        for name, (then, now) in differences.items()
    )


def compare(fitted: FittedVersion, mismatch: Mismatch) -> None:
    """Warn in the log, once, if a version was made with other libraries.

    Raises VersionRefused if `mismatch` says so, or if it holds code of another Python.
    """
    found = differences(fitted.libraries)
    if not found:
        return
    message = f"version {fitted.number} of {fitted.model} was fitted with {shown(found)}"
    code = fitted.serializer == "cloudpickle" and PYTHON in found
    if mismatch == "refuse" or code:
        why = "; its code runs in no other Python" if code else ""
        raise VersionRefused(f"{message}{why}: fit it again")
    if (fitted.model, fitted.number) not in _warned:
        _warned.add((fitted.model, fitted.number))
        log.warning("%s; fit it again to be sure", message)
