"""The store of trained models, opened once in each process that needs it."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from modelsync.settings import Settings

if TYPE_CHECKING:
    from modelsync.store import Store


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
