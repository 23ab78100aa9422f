"""The store of trained models, opened once in each process that needs it."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from modelsync.errors import ArtifactCorrupt, StorageFailed, StoreUnavailable
from modelsync.models.versions import FittedVersion
from modelsync.settings import Settings

if TYPE_CHECKING:
    from modelsync.store import Store
    from modelsync.training.artifacts import Artifacts


DAMAGED_RETRY = 3600
"""Seconds after which it is worth to ask again for what the store has lost."""


class ProcessStore:
    """Opens the store of some settings at its first use: its connections must not cross a fork."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._opened: tuple[int, Store] | None = None

    def __call__(self) -> Store:
        """The store of this process. Raises SettingsError if its settings are malformed."""
        from modelsync import store  # SQLAlchemy is loaded only where a trained model is asked for

        with self._lock:
            if self._opened is None or self._opened[0] != os.getpid():
                self._opened = os.getpid(), store.open(self._settings)
            return self._opened[1]

    def artifacts(self) -> Artifacts:
        """The files of versions that are on this machine."""
        from modelsync.training.artifacts import Artifacts

        return Artifacts(self._settings.state.home, self().blobs)

    def fetch(self, version: FittedVersion) -> Path:
        """The file of a version on this machine; from the store if it is not here yet.

        Raises StoreUnavailable, also if the store holds it no more as it was.
        """
        try:
            return self.artifacts().fetch(version)
        except (ArtifactCorrupt, StorageFailed) as error:
            raise StoreUnavailable(str(error), DAMAGED_RETRY) from None
