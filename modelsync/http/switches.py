"""What the workers of a generation know of each other's bad experiences: one byte a model, shared by all of them.

A model that keeps ending its worker is switched off, by the master; a file tells the next generation, for which it is
on again only in another version. One that has hung in a worker's event loop is kept out of all of them, by that worker.
The page is anonymous memory, mapped before the fork.
"""

from __future__ import annotations

import contextlib
import mmap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from modelsync.files import write_atomically

STRIKES = 3.0
"""Crashes with one suspect after which it is switched off; a crash with n suspects counts 1/n for each."""

WINDOW = 600.0
"""Seconds after which a crash is forgotten."""


ON, THREADS_ONLY, OFF = range(3)


def memory(home: Path) -> Path:
    """The file in the state directory; the supervisor removes it when it starts."""
    return home / "run" / "switched-off.json"


class Switches:
    """One switch a model, all on at first but those that `file` names with the same version."""

    def __init__(self, versions: Mapping[str, str], file: Path | None = None) -> None:
        self._versions = versions
        self._file = file
        self._index = {name: index for index, name in enumerate(versions)}
        self._page = mmap.mmap(-1, max(1, len(versions)))
        self._crashes: list[tuple[float, frozenset[str]]] = []
        for name, version in self._remembered().items():
            if versions.get(name) == version:
                self._page[self._index[name]] = OFF

    def off(self, model: str) -> bool:
        """Whether `model` is switched off."""
        index = self._index.get(model)
        return index is not None and self._page[index] == OFF

    def threads_only(self, model: str) -> bool:
        """Whether `model` must not be called in an event loop."""
        index = self._index.get(model)
        return index is not None and self._page[index] != ON

    def banish(self, model: str) -> None:
        """Keep `model` out of the event loops of this generation."""
        index = self._index.get(model)
        if index is not None and self._page[index] == ON:
            self._page[index] = THREADS_ONLY

    def crashed(self, suspects: Sequence[str], now: float) -> list[str]:
        """Note that a worker died while it called `suspects`; returns the models that this switches off.

        `now` in seconds of a monotonic clock.
        """
        self._crashes = [crash for crash in self._crashes if crash[0] > now - WINDOW]
        self._crashes.append((now, frozenset(suspects)))
        strikes: dict[str, float] = defaultdict(float)
        for _, models in self._crashes:
            for model in models:
                strikes[model] += 1 / len(models)
        guilty = [
            model for model in suspects if model in self._index and not self.off(model) and strikes[model] >= STRIKES
        ]
        for model in guilty:
            self._page[self._index[model]] = OFF
        if guilty:
            # Those crashes are explained: nobody else who was there is suspected of them any more.
            self._crashes = [crash for crash in self._crashes if crash[1].isdisjoint(guilty)]
            self._remember()
        return sorted(guilty)

    def _remembered(self) -> dict[str, str]:
        try:
            found: dict[str, str] = orjson.loads(self._file.read_bytes()) if self._file else {}
        except (OSError, orjson.JSONDecodeError):
            return {}
        return found

    def _remember(self) -> None:
        if self._file:
            off = {name: version for name, version in self._versions.items() if self.off(name)}
            with contextlib.suppress(OSError):  # a full disk: then the next generation has to find out for itself
                write_atomically(self._file, orjson.dumps(off))
