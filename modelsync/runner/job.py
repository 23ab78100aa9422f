"""What a runner is told at its start: the models, limits, and the descriptors that it inherits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelsync.models.serialization import from_json, to_json
from modelsync.models.types import ModelSpec, Placement


@dataclass(frozen=True, slots=True)
class Model:
    """A model to serve; its number is its place in the list.

    `skip`: why it must not be loaded, empty if it may.
    """

    spec: ModelSpec
    placement: Placement
    call_seconds: float | None = None
    skip: str = ""


@dataclass(frozen=True, slots=True)
class RunnerJob:
    """The whole of it.

    `parent`: the process with which the runner ends. `listen`, `report`, `pulse` and `crash` are
    descriptors. `folder`: where the models lie, removed from messages. `memory` is in bytes, None
    for no limit; `timeout` in seconds. `again`: another process has served the models before.
    """

    parent: int
    listen: int
    report: int
    pulse: int
    crash: int
    models: tuple[Model, ...]
    folder: str
    threads: int
    max_queue: int
    timeout: float
    memory: int | None
    log_format: str
    log_level: str
    again: bool = False

    def to_json(self) -> dict[str, Any]:
        """Return it as an object of JSON types."""
        models = [{**to_json(one), "spec": to_json(one.spec)} for one in self.models]
        return {**to_json(self), "models": models}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> RunnerJob:
        """Read what `to_json` returned."""
        models = tuple(from_json(Model, one) for one in values["models"])
        return cls(**values | {"models": models})
