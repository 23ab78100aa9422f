"""The mirror: writes to disk which versions serve, and fetches their artefacts before that.

Whoever calls models reads only the disk, so predictions go on while the store is away.
"""

from __future__ import annotations

import logging
from pathlib import Path

from modelsync.errors import ArtifactCorrupt, StorageFailed, StoreUnavailable
from modelsync.files import storage
from modelsync.models.versions import FittedVersion
from modelsync.observability.logs import event
from modelsync.releases.fitted import FittedVersions, ModelVersions
from modelsync.store import Store
from modelsync.store.records import ModelRecord
from modelsync.training.artifacts import Artifacts

log = logging.getLogger(__name__)

LOOK = 0.5
"""Seconds between two looks at the catalog's revision."""

VERIFY = 5.0
"""Seconds between two looks at what is on disk, and two tries to fetch what could not be had."""


class VersionMirror:
    """Writes the catalog to `FittedVersions` whenever its revision has changed."""

    def __init__(self, home: Path, store: Store) -> None:
        self._store = store
        self._files = FittedVersions(home)
        self._artifacts = Artifacts(home, store.blobs)
        self._revision: int | None = None
        self._stamp = (0, 0)
        self._models: dict[str, ModelVersions] = {}  # as written last
        self._served: list[FittedVersion] = []
        self._missing: dict[str, str] = {}  # digests that cannot be had, by model
        self._verified = 0.0

    def step(self, now: float) -> None:
        """Write what has changed. Raises StoreUnavailable, StorageFailed."""
        revision = self._store.catalog.revision()
        if revision == self._revision and (now < self._verified + VERIFY or self._is_whole()):
            return
        self._write()
        self._revision, self._verified = revision, now

    def _is_whole(self) -> bool:
        """Whether the disk still holds what was written: people remove files, disks lose bytes.

        What is gone or damaged is fetched; else the version before would serve after a restart.
        """
        lacking = [one for one in self._served if not self._has(one, whole=True)]
        return not lacking and not self._missing and self._stamp == self._files.stamp()

    def _write(self) -> None:
        known = self._stamp != (0, 0) and self._stamp == self._files.stamp()
        before = self._models if known else self._files.read()
        models = {
            name: self._versions(record, before.get(name, ModelVersions()))
            for name, record in self._store.catalog.models().items()
        }
        self._served = [version for one in models.values() if (version := one.serving)]
        if models != before or self._files.stamp() == (0, 0):
            with storage():
                self._files.write(models)
        if models != before:
            event(log, logging.INFO, "versions have changed", event="versions", models=len(models))
        self._stamp, self._models = self._files.stamp(), models

    def _versions(self, record: ModelRecord, before: ModelVersions) -> ModelVersions:
        """Return the versions of a model; the previous one serves on if the new one is not here."""
        known = self._models.get(record.model, ModelVersions()).versions
        versions = {
            # Versions never change, and a thousand of them take a second to describe.
            one.number: known.get(one.number) or self._artifacts.describe(one)
            for one in record.versions
        }
        keys = {one.key: number for number, one in sorted(versions.items())}
        current = record.current
        if current in versions and not self._has(versions[current]):
            # Also if that has no file either: who has it in memory goes on with it.
            current, previous = None, before.serving
            if previous:
                current = previous.number
                versions[current] = previous
        return ModelVersions(current, {**keys, **record.labels}, versions)

    def _has(self, version: FittedVersion, *, whole: bool = False) -> bool:
        """Fetch the artefact of a version if it is not here, with `whole` also if it is damaged.

        False if it cannot be had now, which is logged once.
        """
        try:
            if whole or not self._artifacts.has(version):
                self._artifacts.fetch(version)
        except (StoreUnavailable, ArtifactCorrupt, StorageFailed) as error:
            if self._missing.get(version.model) != version.sha256:
                self._missing[version.model] = version.sha256
                event(
                    log,
                    logging.ERROR,
                    f"version {version.number} of {version.model} cannot be had, the one before "
                    f"serves on: {error}",
                    event="version_missing",
                    model=version.model,
                    version=version.number,
                    reason=error.reason,
                )
            return False
        if whole:
            self._missing.pop(version.model, None)
        return True
