"""The circuit breaker: stops calls of models that have crashed or blocked worker processes.

The master opens a model's circuit when calls of the model keep ending workers; the circuit stays
open until another version of the model serves, its code's or a fitted one, or until it runs in
another place. A file shares open circuits, and the crashes counted so far, with the other
generations. A worker whose event loop was blocked by a model keeps that model out of the loops of
all workers. The state is one byte for each model, and the fitted version that it is about, in
anonymous memory, mapped before the fork, so that all workers of a generation share it.
"""

from __future__ import annotations

import contextlib
import mmap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from modelsync import json_text

MAX_CRASHES = 3.0
"""Crashes that open a model's circuit; a crash with n suspects counts 1/n for each of them."""

WINDOW = 600.0
"""Seconds after which a crash is forgotten."""

CLOSED, THREADS_ONLY, MOVING, OPEN = range(4)


def memory_file(home: Path) -> Path:
    """Return the file of open circuits and crashes; the supervisor removes it when it starts."""
    return home / "run" / "switched-off.json"


class CircuitBreaker:
    """A circuit for each model, closed at first; those that `file` names are open.

    `versions` holds the version of each model by its name, and names its place if it is not the
    usual one. Open circuits and crashes are kept by
    name and version, so that none of them counts against another version.
    """

    def __init__(self, versions: Mapping[str, str], file: Path | None = None) -> None:
        self._versions = versions
        self._fitted: dict[str, int] = {}
        self._file = file
        self._index = {name: index for index, name in enumerate(versions)}
        self._states = mmap.mmap(-1, max(1, len(versions)))
        self._opened = memoryview(mmap.mmap(-1, 8 * max(1, len(versions)))).cast("Q")
        self._open_ids: set[str] = set()
        self._crashes: set[tuple[float, frozenset[str]]] = set()
        self._load()
        self._open_circuits()

    def serves(self, model: str, fitted: int) -> None:
        """Take note of the fitted version of a model, 0 for none, that this process calls from now
        on; in the master: that the process has called which has ended.
        """
        if self._fitted.get(model, 0) != fitted:
            self._fitted[model] = fitted
            self._open_circuits()

    def _id(self, model: str) -> str:
        """Return what identifies the version of a model, in its place."""
        fitted = self._fitted.get(model, 0)
        return f"{model} {self._versions.get(model, '')}" + (f"+{fitted}" if fitted else "")

    def is_open(self, model: str) -> bool:
        """Return whether `model` must not be called at all."""
        index = self._index.get(model)
        if index is None or self._states[index] < MOVING:
            return False
        fitted = self._fitted.get(model, 0)
        return self._states[index] == MOVING or self._opened[index] == fitted

    def is_moving(self, model: str) -> bool:
        """Return whether `model` must not be called until the next generation runs it elsewhere."""
        index = self._index.get(model)
        return index is not None and self._states[index] == MOVING

    def move(self, model: str) -> None:
        """Keep `model` from being called in this generation."""
        if (index := self._index.get(model)) is not None:
            self._states[index] = MOVING

    def threads_only(self, model: str) -> bool:
        """Return whether `model` must not be called in an event loop."""
        index = self._index.get(model)
        return index is not None and self._states[index] != CLOSED

    def force_threads(self, model: str) -> None:
        """Keep `model` out of the event loops of this generation."""
        index = self._index.get(model)
        if index is not None and self._states[index] == CLOSED:
            self._states[index] = THREADS_ONLY

    def record_crash(self, suspects: Sequence[str], now: float) -> list[str]:
        """Record that a worker died while it called `suspects`; return models whose circuit opens.

        `now` is in seconds of the monotonic clock, which all processes share.
        """
        self._load()
        self._crashes.add((now, frozenset(map(self._id, suspects))))
        self._crashes = {crash for crash in self._crashes if crash[0] > now - WINDOW}
        counts: dict[str, float] = defaultdict(float)
        for _, models in self._crashes:
            # An open circuit explains the crash: the other suspects are cleared of it.
            if models.isdisjoint(self._open_ids):
                for model in models:
                    counts[model] += 1 / len(models)
        self._open_ids.update(model for model, count in counts.items() if count >= MAX_CRASHES)
        opened = self._open_circuits()  # before the slow disk: the next call may come at once
        self._save()
        return opened

    def _open_circuits(self) -> list[str]:
        """Set the shared state of the models in `_open_ids`; return those that were not open."""
        opened = [
            name
            for name in self._index
            if self._id(name) in self._open_ids and not self.is_open(name)
        ]
        for name in opened:
            self._opened[self._index[name]] = self._fitted.get(name, 0)
            self._states[self._index[name]] = OPEN
        return sorted(opened)

    def _load(self) -> None:
        """Add what other generations have written; one that drains may still crash."""
        if self._file is None:
            return
        # A missing or damaged file is written anew.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found = json_text.loads(self._file.read_bytes())
            self._open_ids.update(found["off"])
            self._crashes.update((time, frozenset(models)) for time, models in found["crashes"])

    def _save(self) -> None:
        if self._file is None:
            return
        crashes = [(time, sorted(models)) for time, models in self._crashes]
        content = json_text.dumps({"off": sorted(self._open_ids), "crashes": crashes})
        from modelsync.files import write_atomically  # here: not in a runner

        # On a full disk the next generation has to find out for itself.
        with contextlib.suppress(OSError):
            write_atomically(self._file, content)
