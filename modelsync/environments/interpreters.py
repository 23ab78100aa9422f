"""The interpreter of an environment: that of the service, or another one that is installed."""

from __future__ import annotations

import json
import platform
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from modelsync.deadline import Deadline
from modelsync.environments.uv import Uv
from modelsync.errors import ModelBroken
from modelsync.models.types import Fault

OLDEST = (3, 11)
"""The oldest Python in which models run."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python: the path of its program, and its name and version, such as `CPython 3.12.1`."""

    path: str
    version: str


def own() -> Interpreter:
    """Return the interpreter of the service, outside of the environment that the service has."""
    base: str = getattr(sys, "_base_executable", sys.executable)
    version = f"{platform.python_implementation()} {platform.python_version()}"
    return Interpreter(base, version)


def choose(request: str, file: str, uv: Uv, deadline: Deadline) -> Interpreter:
    """Return the interpreter that a folder asks for: that of the service if it fits.

    `request`: a version (`3.12`) or a specifier (`>=3.12`), for which the oldest that fits is
    taken. `file`: where it stands. Raises ModelBroken if none is installed that fits.
    """
    if not request or _fits(request, platform.python_version()):
        return own()
    installed = _installed(uv, deadline)
    for version, path in installed:
        if _fits(request, str(version)) and version.release[:2] >= OLDEST:
            return Interpreter(path, f"CPython {version}")
    seen = ", ".join(dict.fromkeys(str(version) for version, _ in installed)) or "none"
    oldest = ".".join(map(str, OLDEST))
    hint = (
        f"installed are {seen}, and models need {oldest} or newer: install one that fits beside "
        f"the service, or change {file}"
    )
    raise ModelBroken(Fault("environment", f"Python {request} is not installed", file, hint=hint))


def _fits(request: str, version: str) -> bool:
    """Tell whether a version of CPython is what a request asks for."""
    if plain := re.fullmatch(r"(?:cpython|python)?[-@]?(\d+(?:\.\d+){0,2})", request.lower()):
        return f"{version}.".startswith(f"{plain[1]}.")
    try:
        return SpecifierSet(request).contains(version, prereleases=True)
    except InvalidSpecifier:
        return False


def _installed(uv: Uv, deadline: Deadline) -> list[tuple[Version, str]]:
    """List the CPythons that uv finds, version and path: by minor version, the newest patch first.

    Raises CommandFailed.
    """
    listing = uv.run(
        "python", "list", "--only-installed", "--output-format", "json",
        folder=Path("/"), deadline=deadline,
    )  # fmt: skip
    found = {
        (Version(item["version"]), item["path"])
        for item in json.loads(listing)
        if item["implementation"] == "cpython" and item["variant"] == "default"
    }
    return sorted(found, key=lambda one: (one[0].release[:2], -one[0].micro, one[1]))
