"""The collector: turns sampled requests into Parquet files, observations and figures of drift.

`python -m modelsync.monitoring.collector`, a child of the trainer, which starts it when there is
something to do; it ends when there has been nothing for a while. It runs no model code. A batch of
samples is kept as Parquet, then its predictions in the store, then it is done: a collector that is
killed at any step repeats what it did, which changes nothing.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from time import time
from typing import Any

from modelsync import locks, store
from modelsync.errors import ModelsyncError
from modelsync.files import storage
from modelsync.monitoring import figures
from modelsync.monitoring.figures import ModelDrift
from modelsync.monitoring.predictions import prediction_of
from modelsync.monitoring.retraining import Retraining
from modelsync.monitoring.sample_files import SampleFiles
from modelsync.monitoring.spool import Spool, SpoolBatch
from modelsync.monitoring.window import WINDOW, Window
from modelsync.releases.fitted import FittedVersions
from modelsync.settings import Settings
from modelsync.store import Store
from modelsync.store.records import LiveQuality, Observation
from modelsync.training import child_process
from modelsync.training.loop import Loop
from modelsync.training.stop import Stop

log = logging.getLogger("modelsync.monitoring.collector")  # also when it runs as __main__

PERIOD = 5.0
"""Seconds between two looks at the spool."""

IDLE = 12
"""Looks without anything to do after which the process ends."""

LARGEST = 10_000
"""Characters of a prediction that is kept until its truth comes."""


class Collector:
    """One state directory's samples. `step` raises StoreUnavailable and StorageFailed; what has not
    been done is done by the next one.
    """

    def __init__(self, config: Settings, opened: Store) -> None:
        self._home = config.state.home
        self._catalog = opened.catalog
        self._files = SampleFiles(config)
        self._spool = Spool(self._home)
        self._fitted = FittedVersions(self._home)
        self._retraining = Retraining(config, opened.catalog)
        self._figures: dict[str, ModelDrift] = dict(figures.read(self._home))
        self._windows: dict[str, Window] = {}
        self._changed: set[str] = set()
        self._told: datetime | None = None
        self.idle = 0

    def step(self, now: float) -> None:
        """Keep what the spool has, and write the figures of the models whose samples are new."""
        self.idle += 1
        while (batch := self._next()) is not None:
            self._take_in(batch)
            self.idle = 0
        if (last := self._catalog.last_truth()) != self._told:
            self._changed |= self._catalog.told_since(self._told)
            self._told, self.idle = last, 0
        self._follow_versions()
        self._tell()

    def _next(self) -> SpoolBatch | None:
        with storage():
            return self._spool.next()

    # --- samples ----------------------------------------------------------------------------------

    def _take_in(self, batch: SpoolBatch) -> None:
        """Keep a batch; one that cannot be, ever, is lost, so that those after it are kept."""
        try:
            self._keep(batch)
        except ModelsyncError:
            raise
        except Exception:  # whatever a client has sent; it would come again and again
            log.exception("a batch of samples cannot be kept: it is lost")
        with storage():
            batch.keep()

    def _keep(self, batch: SpoolBatch) -> None:
        """Keep a batch: as files, then as observations."""
        with storage():
            records = list(batch.records())
        by_model: dict[str, list[Mapping[str, Any]]] = {}
        for record in records:
            by_model.setdefault(str(record["model"]), []).append(record)
        for model, found in by_model.items():
            window = self._window(model, found)
            rows = self._files.add(model, batch.id, found, window.target)
            if rows is None:
                continue
            window.add(rows)
            known = self._figures.get(model, ModelDrift())
            self._figures[model] = replace(known, total=known.total + len(found))
            self._changed.add(model)
        self._catalog.observe(_observations(records, self._windows))

    def _window(self, model: str, found: Iterable[Mapping[str, Any]] = ()) -> Window:
        """Return the window of the version that is current now."""
        current = self._current().get(model)
        if model in self._windows and self._windows[model].version == current:
            return self._windows[model]
        known = self._figures.get(model)
        since = known.serves_since if known else 0.0
        if known and (known.version != current or model in self._windows):
            times = [one["time"] for one in found if one.get("number") == current]
            since = min([time(), *times])
        statistics = self._catalog.statistics(model, current) if current is not None else None
        rows = self._files.newest(model, current, since, WINDOW)
        window = self._windows[model] = Window(current, statistics, rows)
        self._figures[model] = replace(known or ModelDrift(), version=current, serves_since=since)
        self._changed.add(model)
        return window

    def _current(self) -> Mapping[str, int | None]:
        return {name: one.current for name, one in self._fitted.read().items()}

    def _follow_versions(self) -> None:
        """Begin anew with models of which another version serves now."""
        current = self._current()
        for model, known in list(self._figures.items()):
            if known.version != current.get(model):
                self._window(model)

    # --- figures ----------------------------------------------------------------------------------

    def _tell(self) -> None:
        """Write the figures that have changed; a threshold that is passed starts a training."""
        if not self._changed:
            return
        for model in sorted(self._changed):
            self._figures[model] = self._measured(model)
        with storage():
            figures.write(self._home, self._figures)
        for model in sorted(self._changed):
            self._retraining.look(model, self._figures[model], self._windows[model].statistics)
        self._changed.clear()

    def _measured(self, model: str) -> ModelDrift:
        window = self._window(model)
        known = self._figures.get(model, ModelDrift())
        columns, target, note = window.drift()
        live = {one.version: one for one in self._catalog.live_quality(model)}
        return replace(
            known,
            samples=window.rows,
            since=window.since,
            columns=columns,
            target=target,
            note=note,
            updated=datetime.now(UTC).isoformat(timespec="seconds"),
            **_quality(live.get(window.version or 0), window),
        )


def _quality(live: LiveQuality | None, window: Window) -> dict[str, Any]:
    """Return how right a version was: the accuracy of classes, the error of numbers."""
    classifies = window.statistics.classifies if window.statistics else None
    return {
        "compared": live.compared if live else 0,
        "live_accuracy": live.accuracy if live and classifies is not False else None,
        "live_error": live.error if live and classifies is not True else None,
    }


def _observations(
    records: Iterable[Mapping[str, Any]], windows: Mapping[str, Window]
) -> list[Observation]:
    found = []
    for record in records:
        model = str(record["model"])
        prediction = prediction_of(record["result"], windows[model].target)
        if len(str(prediction)) <= LARGEST:
            version = record.get("number") or 0
            found.append(Observation(model, str(record["id"]), version, prediction))
    return found


# --- the process ----------------------------------------------------------------------------------


def serve(config: Settings, stop: Stop) -> None:
    """Collect until there is nothing more to do, or the end is asked for."""
    collector = Collector(config, store.open(config))
    loop = Loop("the collector", collector.step, PERIOD)
    pause = loop.turn(0.0)
    while collector.idle < IDLE and not stop.wait(pause):
        pause = loop.turn(0.0)


def main(arguments: Sequence[str] = ()) -> int:
    """Run until there is nothing to do, or SIGTERM; end with the process `--parent`.

    Returns the exit code. Of several in one state directory one works, the others end at once.
    """
    return child_process.run("modelsync.monitoring.collector", arguments, _alone)


def _alone(config: Settings, stop: Stop) -> None:
    with suppress(OSError):
        os.nice(config.training.nice)
    with storage():
        (config.state.home / "samples").mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = locks.open_for_lock(config.state.home / "samples" / "collector.lock")
    if locks.try_lock(lock):
        serve(config, stop)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
