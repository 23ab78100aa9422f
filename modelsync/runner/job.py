"""What a runner is told at its start: the models, limits, and the descriptors that it inherits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelsync.models.placement import Placement
from modelsync.models.serialization import from_json, to_json
from modelsync.models.types import ModelSpec
from modelsync.models.versions import FittedVersion, Mismatch


@dataclass(frozen=True, slots=True)
class Model:
    """A model to serve; its number is its place in the list.

    `skip`: why it must not be loaded, empty if it may. `versions`: the fitted versions of which the
    first that loads serves.
    """

    spec: ModelSpec
    placement: Placement
    call_seconds: float | None = None
    skip: str = ""
    versions: tuple[FittedVersion, ...] = ()


@dataclass(frozen=True, slots=True)
class RunnerJob:
    """The whole of it.

    `parent`: the process with which the runner ends. `listen`, `report`, `pulse` and `crash` are
    descriptors. `folder`: where the models lie, removed from messages. `memory` is in bytes, None
    for no limit; `timeout` in seconds. `again`: another process has served the models before.
    `attempts`: the folder of what is remembered of versions that have ended their process, empty
    for none; `mismatch`: what is done about versions that were made with other libraries.
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
    attempts: str = ""
    mismatch: Mismatch = "warn"

    def to_json(self) -> dict[str, Any]:
        """Return it as an object of JSON types."""
        models = [
            {
                **to_json(one),
                "spec": to_json(one.spec),
                "versions": [to_json(version) for version in one.versions],
            }
            for one in self.models
        ]
        return {**to_json(self), "models": models}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> RunnerJob:
        """Read what `to_json` returned."""
        models = tuple(from_json(Model, one) for one in values["models"])
        return cls(**values | {"models": models})
