"""Relocation: a model that stops workers runs in a runner from then on.

At once it is no longer called in this generation; the supervisor then starts another one, which
finds its new place in `Placements`. In a runner it stops itself alone. One that keeps ending its
runner too, or that takes all memory, is switched off until its next version.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from modelsync.inference.circuit_breaker import MAX_CRASHES, CircuitBreaker
from modelsync.models.types import ModelEntry, ModelName
from modelsync.processes.worker_death import WorkerDeath
from modelsync.releases.fitted import FittedVersions
from modelsync.releases.placements import Placements

log = logging.getLogger(__name__)


def placed_version(entry: ModelEntry) -> str:
    """Return the version of a model for the circuit breaker: what it has done in the workers does
    not count against it in a runner.
    """
    return f"{entry.version} in a runner" if entry.placement.place == "runner" else entry.version


class Relocation:
    """Decides what follows from the death of a worker for the models of one generation.

    `place_anew` asks the supervisor for another generation of the same release. `fitted` tells
    which fitted versions a process has called.
    """

    def __init__(
        self,
        entries: Mapping[ModelName, ModelEntry],
        breaker: CircuitBreaker,
        placements: Placements,
        place_anew: Callable[[], None],
        fitted: FittedVersions,
    ) -> None:
        self._entries = entries
        self._breaker = breaker
        self._placements = placements
        self._place_anew = place_anew
        self._fitted = fitted

    def record(self, death: WorkerDeath, now: float) -> None:
        """Record a death; `now` is in seconds of the monotonic clock."""
        if not death.blamed:
            return
        self._note_versions(death)
        if death.runner:
            self._record_in_runner(death, now)
            return
        [first, *others] = death.suspects
        if death.deaf and not others and self._is_in_worker(first):
            self._move(first, f"it held the interpreter for {death.deaf:.0f} s")
            return
        for name in self._breaker.record_crash(death.suspects, now):
            # For want of memory another generation beside this one would fail, too.
            if self._is_in_worker(name) and not death.starved:
                self._move(name, f"it ended {MAX_CRASHES:.0f} worker processes")
            else:
                self._tell("model_switched_off", name, "switched off until its next version")

    def _note_versions(self, death: WorkerDeath) -> None:
        """Have the crash count against the fitted versions that were called."""
        suspects = [name for name in death.suspects if self._is_trainable(name)]
        called = self._fitted.acknowledged_by(death.pid) if suspects else {}
        for name in suspects:
            self._breaker.serves(name, called.get(name) or 0)

    def _is_trainable(self, name: str) -> bool:
        entry = self._entries.get(ModelName(name))
        return entry is not None and entry.spec.trainable

    def _record_in_runner(self, death: WorkerDeath, now: float) -> None:
        """Switch off what keeps ending its runner; one that hangs there costs itself alone."""
        if not death.deaf:
            for name in self._breaker.record_crash(death.suspects, now):
                self._tell("model_switched_off", name, "switched off until its next version")

    def _is_in_worker(self, name: str) -> bool:
        entry = self._entries.get(ModelName(name))
        return entry is not None and entry.placement.place != "runner"

    def _move(self, name: str, reason: str) -> None:
        self._breaker.move(name)
        self._tell("model_moved", name, f"moved to a process of its own: {reason}")
        self._placements.remember(name, self._entries[ModelName(name)].version, reason)
        self._place_anew()

    def _tell(self, event: str, name: str, what: str) -> None:
        log.error("%s is %s", name, what, extra={"fields": {"event": event, "model": name}})
