"""The artefacts that are on this machine: fetched from the store, verified, removed when nobody
needs them.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from modelsync.files import TEMPORARY, storage
from modelsync.models.serialization import from_json
from modelsync.models.versions import FittedVersion, TableSchema
from modelsync.releases.fitted import FittedVersions
from modelsync.store.blobs import Blobs
from modelsync.store.records import Version

log = logging.getLogger(__name__)

UNUSED = 24 * 3600.0
"""Seconds for which an artefact that does not serve stays: a rollback needs it at once."""

ABANDONED = 3600.0
"""Seconds after which a partly fetched file was left by a crash."""


class Artifacts:
    """The folder home/artifacts, filled from the store's blobs."""

    def __init__(self, home: Path, blobs: Blobs) -> None:
        self._files = FittedVersions(home)
        self._blobs = blobs
        self._whole: dict[str, tuple[int, ...]] = {}  # by digest, how the file was then

    def describe(self, version: Version) -> FittedVersion:
        """Return a stored version as the processes that call it know it; its file may be away."""
        made = version.made
        return FittedVersion(
            model=version.model,
            number=version.number,
            key=version.key,
            serializer=made.serializer,
            sha256=made.sha256,
            size=made.size,
            file=self._files.file_of(made.sha256),
            inputs=from_json(TableSchema, made.inputs) if made.inputs else None,
            libraries=dict(made.libraries),
            call_seconds=made.call_seconds,
        )

    def fetch(self, version: FittedVersion) -> Path:
        """Return the file of a version, from the store if it is not here, or damaged.

        Raises StoreUnavailable, ArtifactCorrupt, StorageFailed.
        """
        if not self.is_whole(version):
            with storage():
                version.file.parent.mkdir(parents=True, exist_ok=True)
            self._blobs.fetch(version.sha256, version.file)
        return version.file

    def is_whole(self, version: FittedVersion) -> bool:
        """Whether the file of a version is here as it was stored.

        Its digest is compared once, and again when the file has changed.
        """
        with suppress(OSError):
            found = version.file.stat()
            sign = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
            if self._whole.get(version.sha256) == sign:
                return True
            with version.file.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == version.sha256:
                    self._whole[version.sha256] = sign
                    return True
            log.warning("the artefact of %s %d is damaged here", version.model, version.number)
        return False

    @staticmethod
    def has(version: FittedVersion) -> bool:
        """Whether the file of a version is here, in its size; who loads it compares its digest."""
        with suppress(OSError):
            return version.file.stat().st_size == version.size
        return False

    def sweep(self, keep: Collection[str], now: float) -> int:
        """Remove artefacts whose digests are not in `keep` and that nobody has read for `UNUSED`
        seconds; return how many. `now` is a time of the machine's clock, in seconds.

        A process that has one mapped into its memory goes on with it.
        """
        gone = 0
        with suppress(OSError):
            for file in self._files.artifacts.iterdir():
                with suppress(OSError):
                    found = file.stat()
                    idle = now - max(found.st_atime, found.st_mtime)
                    left = file.name.startswith(".") and file.name.endswith(TEMPORARY)
                    if idle > (ABANDONED if left else UNUSED) and file.name not in keep:
                        file.unlink()
                        gone += 1
        return gone
