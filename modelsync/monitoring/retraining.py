"""Starts a training where live requests have drifted, or predictions are wrong too often."""

from __future__ import annotations

import logging
import secrets
from datetime import UTC, datetime

from modelsync.errors import ModelsyncError, StoreUnavailable
from modelsync.models.statistics.summary import TableStatistics
from modelsync.models.types import ModelName
from modelsync.monitoring.figures import ModelDrift
from modelsync.observability.logs import event
from modelsync.settings import Settings
from modelsync.store.catalog import Catalog
from modelsync.sync import sources
from modelsync.training.plan import why_not

log = logging.getLogger(__name__)

LEAST = 300
"""Samples from which on drift starts a training: of fewer, an index of 0.25 may be chance."""

LEAST_COMPARED = 100
"""Requests with a truth from which on accuracy does."""

DAY = 24 * 3600.0
"""Seconds in which one training of a model is started from here, by all replicas together."""


class Retraining:
    """The thresholds of the settings."""

    def __init__(self, config: Settings, catalog: Catalog) -> None:
        self._config = config
        self._catalog = catalog

    def look(self, model: str, found: ModelDrift, statistics: TableStatistics | None) -> None:
        """Ask for a training if a threshold is passed. Raises StoreUnavailable."""
        why = self._reason(found, statistics)
        if not why or not self._trains_itself(model):
            return
        lease, owner = f"drift:{model}", secrets.token_hex(8)
        if not self._catalog.lease(lease, owner, DAY):
            return
        try:
            run, _ = self._catalog.ask_run(model, datetime.now(UTC).date(), "drift")
        except StoreUnavailable:
            raise
        except ModelsyncError as error:  # another day is being trained
            self._catalog.release(lease, owner)
            event(log, logging.INFO, f"{model} is not trained now: {error}", event="drift")
            return
        said = f"{model} is trained: {why}"
        event(log, logging.WARNING, said, event="drift", model=model, run=run.number, reason=why)

    def _reason(self, found: ModelDrift, statistics: TableStatistics | None) -> str:
        given = self._config.continuous
        if given.drift_threshold is not None and found.samples >= LEAST and statistics:
            # Time always goes on: dates are no drift.
            times = {one.name for one in statistics.columns if one.kind == "time"}
            columns = [one for one in found.columns if one.name not in times]
            worst = max(columns, key=lambda one: one.psi, default=None)
            if worst and worst.psi >= given.drift_threshold:
                limit = f"MODELSYNC_DRIFT_TRAIN is {given.drift_threshold:g}"
                return f"{worst.name} has a stability index of {worst.psi:.3g}; {limit}"
        threshold, accuracy = given.accuracy_threshold, found.live_accuracy
        if threshold is None or accuracy is None or found.compared < LEAST_COMPARED:
            return ""
        limit = f"MODELSYNC_ACCURACY_TRAIN is {threshold:g}"
        return f"its live accuracy is {accuracy:.3g}; {limit}" if accuracy < threshold else ""

    def _trains_itself(self, model: str) -> bool:
        release = sources.current(self._config)
        entry = release.models.get(ModelName(model)) if release else None
        return entry is not None and not why_not(entry.spec)
