"""Reads the settings from the environment, and refuses unknown names.

An unknown name with the prefix, or one that differs from a setting in case alone, is an error,
because a misspelt setting that is ignored would first be noticed in production.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any

from modelsync.errors import SettingsError
from modelsync.settings.definition import PREFIX
from modelsync.settings.environments import (
    OLDER_PASSWORD,
    PASSWORD,
    follows_password,
    handed_down,
)
from modelsync.settings.groups import GROUPS, Settings, entries, file_twin
from modelsync.settings.secret import Secret
from modelsync.settings.source import Git

# Set by the supervisor for its own children, not by users.
INTERNAL = {"MODELSYNC_SECRETS_FD"}


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Read all settings from the environment (or a mapping given in its place).

    Raises SettingsError naming every setting that is unknown or malformed.
    """
    given = dict(os.environ if environ is None else environ)
    if environ is None:
        given.update(handed_down(os.environ))
    problems = [*_service_links(given), *_older_password(given)]
    problems += _unknown(given)
    groups: dict[str, Any] = {}
    for group, kind in GROUPS.items():
        values: dict[str, Any] = {}
        for item in fields(kind):
            try:
                if (value := _read(item, given)) is not None:
                    values[item.name] = value
            except ValueError as error:
                invalid = "invalid literal" in str(error)  # of int()
                reason = "must be a whole number" if invalid else str(error)
                problems.append(f"{item.metadata['name']} {reason}")
        groups[group] = kind(**values)
    git: Git = groups["git"]
    if git.password_file and not git.password:
        # the file is read anew at each use
        groups["git"] = replace(git, password=Secret(file=git.password_file))
    if problems:
        raise SettingsError("; ".join(problems))
    return Settings(**groups)


def _older_password(given: dict[str, str]) -> Iterator[str]:
    """Take `password` for `gitpassword`, which it was called before; report two that differ."""
    if not follows_password(given):
        return
    older = given[OLDER_PASSWORD]
    if given.get(PASSWORD, older) != older:
        yield f"{PASSWORD} and {OLDER_PASSWORD}, its older name, differ: set {PASSWORD} alone"
    elif not given.get("MODELSYNC_GIT_PASSWORD_FILE"):
        given[PASSWORD] = older


def _read(item: Field[Any], given: Mapping[str, str]) -> Any:
    name = item.metadata["name"]
    if item.metadata.get("secret"):
        twin = file_twin(item)
        if twin and given.get(twin):
            if given.get(name):
                raise ValueError(f"and {twin} are both set; set one")
            return Secret(file=Path(given[twin]).expanduser())
        return Secret(given[name].strip()) if given.get(name) else None
    raw = given.get(name)
    # An empty variable means "unset", as Compose files and .env templates write it; only baseUrl
    # may be meant empty.
    if raw is None or (not raw.strip() and name != "baseUrl"):
        return None
    return item.metadata["parse"](raw)


def _unknown(given: Mapping[str, str]) -> Iterator[str]:
    known = {entry.name for entry in entries()} | INTERNAL
    in_lower_case = {name.lower(): name for name in known}
    for name in sorted(set(given) - known):
        if meant := in_lower_case.get(name.lower()):
            yield f"{name} is not a setting (did you mean {meant}?)"
            continue
        # MODELSYNC_TEST_* belongs to the test suites, which run the service with their own
        # environment.
        if name.startswith(PREFIX) and not name.startswith("MODELSYNC_TEST_"):
            near = difflib.get_close_matches(name, known, n=1)
            yield f"{name} is not a setting" + (f" (did you mean {near[0]}?)" if near else "")


_LINK = re.compile(
    r"MODELSYNC_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_LINKED_PORT = re.compile(r"MODELSYNC_(\w+_)?PORT")


def _service_links(given: dict[str, str]) -> Iterator[str]:
    """Remove the variables that Kubernetes sets for a Service named modelsync*; report one."""
    found = [
        name
        for name, value in given.items()
        if _LINK.fullmatch(name)
        or (_LINKED_PORT.fullmatch(name) and value.startswith(("tcp://", "udp://", "sctp://")))
    ]
    for name in found:
        del given[name]
    if found:
        yield (
            f"{min(found, key=len)} comes from Kubernetes, which sets variables for each Service "
            "named modelsync*: set enableServiceLinks: false in the pod's spec"
        )
