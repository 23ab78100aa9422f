"""What the steps of one training run work with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from modelsync.continuous.code import Code
from modelsync.continuous.run_record import RunRecord
from modelsync.models.types import ModelEntry, ModelSpec
from modelsync.settings import Settings
from modelsync.store import Store
from modelsync.training.stop import Stop


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a step has done, in words, and as `facts` for machines. `over`: the run is done with
    it, as nothing has changed.
    """

    message: str
    facts: dict[str, Any]
    over: bool = False


@dataclass(frozen=True, slots=True)
class RunContext:
    """One run: the model's `entry` in the release, its `spec` with an absolute path, the day, the
    record of the row. `force`: train though nothing has changed.
    """

    config: Settings
    store: Store
    code: Code
    entry: ModelEntry
    spec: ModelSpec
    day: date
    record: RunRecord
    stop: Stop
    force: bool = False


Step = Callable[[RunContext], StepReport]
