"""What the workers of a generation know of each other's bad experiences: one byte a model, shared
by all of them.

A model that keeps ending its worker is switched off, by the master, until another version of it
serves; a file tells the other generations, of crashes that were not enough too. One that has hung
in a worker's event loop is kept out of all of them, by that worker. The page is anonymous memory,
mapped before the fork.
"""

from __future__ import annotations

import contextlib
import mmap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from modelsync.files import write_atomically

MAX_CRASHES = 3.0
"""Crashes with one suspect after which it is switched off; a crash with n suspects counts 1/n for
each.
"""

WINDOW = 600.0
"""Seconds after which a crash is forgotten."""


ON, THREADS_ONLY, OFF = range(3)


def memory_file(home: Path) -> Path:
    """The file in the state directory; the supervisor removes it when it starts."""
    return home / "run" / "switched-off.json"


class CircuitBreaker:
    """One switch a model, all on at first but those that `file` names with the same version."""

    def __init__(self, versions: Mapping[str, str], file: Path | None = None) -> None:
        self._ids = {name: f"{name} {version}" for name, version in versions.items()}
        self._file = file
        self._index = {name: index for index, name in enumerate(versions)}
        self._page = mmap.mmap(-1, max(1, len(versions)))
        # By id: what another version of a model has done is held against that version alone.
        self._off: set[str] = set()
        self._crashes: set[tuple[float, frozenset[str]]] = set()
        self._recall()
        self._switch_off()

    def is_open(self, model: str) -> bool:
        """Whether `model` is switched off."""
        index = self._index.get(model)
        return index is not None and self._page[index] == OFF

    def threads_only(self, model: str) -> bool:
        """Whether `model` must not be called in an event loop."""
        index = self._index.get(model)
        return index is not None and self._page[index] != ON

    def force_threads(self, model: str) -> None:
        """Keep `model` out of the event loops of this generation."""
        index = self._index.get(model)
        if index is not None and self._page[index] == ON:
            self._page[index] = THREADS_ONLY

    def crashed(self, suspects: Sequence[str], now: float) -> list[str]:
        """Note that a worker died while it called `suspects`; returns the models that this breaker
        off.

        `now` in seconds of the monotonic clock, which is one for all processes.
        """
        self._recall()
        self._crashes.add((now, frozenset(self._ids.get(name, name) for name in suspects)))
        self._crashes = {crash for crash in self._crashes if crash[0] > now - WINDOW}
        strikes: dict[str, float] = defaultdict(float)
        for _, models in self._crashes:
            if models.isdisjoint(
                self._off
            ):  # else it is explained: nobody else who was there is suspected of it
                for model in models:
                    strikes[model] += 1 / len(models)
        self._off.update(model for model, number in strikes.items() if number >= MAX_CRASHES)
        guilty = self._switch_off()  # before the disk is waited for: the next call comes at once
        self._remember()
        return guilty

    def _switch_off(self) -> list[str]:
        guilty = [
            name
            for name, known in self._ids.items()
            if known in self._off and not self.is_open(name)
        ]
        for name in guilty:
            self._page[self._index[name]] = OFF
        return sorted(guilty)

    def _recall(self) -> None:
        """Add what other generations have written, a draining one perhaps a moment ago."""
        if self._file is None:
            return
        with contextlib.suppress(
            OSError, ValueError, KeyError, TypeError
        ):  # not there, or damaged: it is written anew
            found = orjson.loads(self._file.read_bytes())
            self._off.update(found["off"])
            self._crashes.update((time, frozenset(models)) for time, models in found["crashes"])

    def _remember(self) -> None:
        if self._file:
            crashes = [(time, sorted(models)) for time, models in self._crashes]
            with contextlib.suppress(
                OSError
            ):  # a full disk: then the next generation has to find out for itself
                write_atomically(
                    self._file, orjson.dumps({"off": sorted(self._off), "crashes": crashes})
                )
