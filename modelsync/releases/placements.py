"""The placements that serving has taught: models that run in a runner, whatever the check decided.

    home/placements.json    reason and date, by the name and the version of a model

The master of a generation writes it when a model has held the interpreter of a worker, or has kept
ending workers; each generation reads it before it loads its release. So another version begins
anew, and a restart does not.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import orjson

from modelsync.clock import now
from modelsync.files import as_json, write_atomically
from modelsync.models.types import ModelEntry
from modelsync.releases.store import Release, Releases

log = logging.getLogger(__name__)


class Placements:
    """The models of one state directory that are to run in a runner."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._file = home / "placements.json"

    def applied(self, release: Release) -> Release:
        """Return the release with each remembered model placed in a runner, with the reason."""
        remembered = self._read()
        models = {
            name: _moved(entry, remembered.get(_key(name, entry.version), ""))
            for name, entry in release.models.items()
        }
        return replace(release, models=models)

    def remember(self, name: str, version: str, reason: str) -> None:
        """Have this version of a model run in a runner from now on.

        Forgets the versions that no kept release holds. On a full disk it is not remembered, which
        is logged.
        """
        kept = {
            _key(name, entry.version)
            for release in Releases(self._home).history()
            for name, entry in release.models.items()
        }
        found = {key: value for key, value in self._read().items() if key in kept}
        found[_key(name, version)] = f"{reason} on {now()[:10]}"
        try:
            write_atomically(self._file, as_json(found))
        except OSError as error:
            log.error("that %s is to run in a runner is not remembered: %s", name, error.strerror)

    def _read(self) -> dict[str, str]:
        """Return the reasons by name and version; a missing or damaged file has none."""
        with suppress(OSError, ValueError):
            found = orjson.loads(self._file.read_bytes())
            if isinstance(found, Mapping):
                return {str(key): str(reason) for key, reason in found.items()}
        return {}


def _key(name: str, version: str) -> str:
    return f"{name} {version}"


def _moved(entry: ModelEntry, reason: str) -> ModelEntry:
    if not reason or entry.placement.place == "runner":
        return entry
    return replace(entry, placement=replace(entry.placement, place="runner", reason=reason))
