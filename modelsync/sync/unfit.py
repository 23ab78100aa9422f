"""Versions of models that pass the check and do not load in the service.

The cause is the machine, or another model beside them. They are tried again with back-off; until
then an update takes them for broken, so that the previous version serves and no push waits for
them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from modelsync.models.types import Fault, ModelEntry, ModelName, TreeHash
from modelsync.releases.store import Release
from modelsync.sync.schedule import RECHECK
from modelsync.sync.status import Status, change_status

Version = tuple[ModelName, TreeHash]


def record(home: Path, release: Release, faults: Mapping[str, str], now: datetime) -> None:
    """Record which models of a release did not load, with the reasons. Raises StorageFailed.

    What was recorded of models that have loaded now, or of other versions of them, is forgotten.
    """

    def change(status: Status) -> Status:
        unfit = {}
        for name, entry in release.models.items():
            key = _key(entry, release.environment)
            before = status.unfit.get(key)
            if name in faults:
                unfit[key] = _record(faults[name], before, now)
            elif before and entry.fault:  # it has not been tried
                unfit[key] = before
        return replace(status, unfit=unfit)

    change_status(home, change)


def known(status: Status, environment: str, now: datetime) -> dict[Version, Fault]:
    """Return the faults of the versions that are not to be tried yet."""
    found = {}
    for key, one in status.unfit.items():
        name, version, place = key.rsplit(" ", 2)
        if place == environment and now.isoformat() < str(one["until"]):
            message = f"it passes the check, but does not load in the service: {one['reason']}"
            found[ModelName(name), TreeHash(version)] = Fault("load", message, transient=True)
    return found


def _key(entry: ModelEntry, environment: str) -> str:
    return f"{entry.name} {entry.wanted_version} {environment}"


def _record(reason: str, before: Mapping[str, Any] | None, now: datetime) -> dict[str, Any]:
    failures = (before["failures"] if before else 0) + 1
    until = now.astimezone(UTC) + timedelta(seconds=RECHECK.pause(failures))
    return {"reason": reason, "failures": failures, "until": until.isoformat()}
