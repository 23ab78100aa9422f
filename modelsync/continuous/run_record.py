"""The row of one training run while a process works on it: begun, noted, ended, kept alive."""

from __future__ import annotations

import logging
import os
import secrets
import threading
from collections.abc import Callable
from datetime import date
from types import TracebackType
from typing import Any, Self, TypeVar

from modelsync.backoff import Backoff
from modelsync.errors import ModelsyncError, RunInProgress, StoreUnavailable
from modelsync.models.types import ModelSpec
from modelsync.settings import Settings
from modelsync.store.catalog import Catalog
from modelsync.store.records import RunOutcome, RunStep, TrainingRun, Trigger
from modelsync.training.insistence import insist
from modelsync.training.job import host_of
from modelsync.training.stop import Stop

log = logging.getLogger(__name__)

BEAT = 10.0
"""Seconds between two signs of life; after `store.training_runs.SILENCE` another takes over."""

PATIENCE = 45.0
"""Seconds for which a store may be away before a step fails of it: less than that silence."""

AWAY = Backoff(first=0.5, most=5.0)
"""Seconds between two tries of a store that is away."""

T = TypeVar("T")


class Stopped(ModelsyncError):
    """The process has been asked to end; the run goes on at this step when it is begun again."""

    reason = "stopped"


class RunRecord:
    """The run of a model and a day that this process works on; `row` is how it stands now.

    `checked`: the fingerprint of the source when this process began to check it, empty before.

    All methods raise StoreUnavailable if the store stays away, RunInProgress if the run is another
    process's.
    """

    def __init__(self, catalog: Catalog, config: Settings, stop: Stop) -> None:
        self._catalog = catalog
        self._stop = stop
        self._owner = f"{host_of(config.state.home)}{os.getpid()}-{secrets.token_hex(4)}"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._row: TrainingRun | None = None
        self.taken: RunInProgress | None = None
        self.checked = ""

    @property
    def row(self) -> TrainingRun:
        """The row as it was written last."""
        assert self._row
        return self._row

    def begin(self, spec: ModelSpec, day: date, trigger: Trigger) -> TrainingRun:
        """Begin the run, or go on with it. Raises RunInProgress if another process works on one."""

        def begin() -> TrainingRun:
            return self._catalog.begin_run(spec.name, day, trigger, self._owner, spec.version)

        self._row = self.insist(begin)
        return self._row

    def __enter__(self) -> Self:
        """Tell from now on that this process lives, until the `with` ends."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()

    def note(self, **values: Any) -> TrainingRun:
        """Write down what is known of it now."""
        self._row = self.insist(
            lambda: self._catalog.note_run(self.row.number, self._owner, **values)
        )
        return self._row

    def pause(self, step: RunStep) -> TrainingRun:
        """Let it wait at a step."""
        self._row = self.insist(lambda: self._catalog.pause_run(self.row.number, self._owner, step))
        return self._row

    def done(self, outcome: RunOutcome) -> TrainingRun:
        """End it with an outcome."""
        self._row = self.insist(
            lambda: self._catalog.end_run(self.row.number, self._owner, "done", outcome=outcome)
        )
        return self._row

    def failed(self, error: Any) -> None:
        """End it with the error of its step; without a store nothing is written, and whoever finds
        it silent goes on with it.
        """

        def fail() -> TrainingRun:
            return self._catalog.end_run(self.row.number, self._owner, "failed", error=error)

        try:
            self._row = self.insist(fail)
        except (StoreUnavailable, RunInProgress) as lost:
            log.warning("run %d: its end cannot be written: %s", self.row.number, lost)

    def require_own(self) -> None:
        """Raise RunInProgress if another process has taken the run over, Stopped if this process is
        to end.
        """
        if self.taken:
            raise self.taken
        if self._stop.asked:
            raise Stopped("the process was asked to end; the run goes on at this step")

    def insist(self, action: Callable[[], T]) -> T:
        """Do what needs the store, again and again while that is away, for `PATIENCE` seconds."""
        return insist(
            action,
            self._stop,
            pauses=AWAY,
            patience=PATIENCE,
            who="the training run",
            event="training_run_waits",
        )

    def _beat(self) -> None:
        while not self._ended.wait(BEAT):
            try:
                self._catalog.note_run(self.row.number, self._owner)
            except RunInProgress as error:
                self.taken = error
                return
            except Exception as error:  # noqa: BLE001  the next beat may be heard
                log.debug("no sign of life can be given: %s", error)
