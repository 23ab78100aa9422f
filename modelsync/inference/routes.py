"""The routes of a release: which models it serves, and how each of them is placed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelsync.inference.process_runner import HostedModel
from modelsync.models.codegen import generator
from modelsync.models.placement import Placement
from modelsync.models.serialization import from_json
from modelsync.models.types import ModelName, ModelSpec
from modelsync.releases.store import Release


@dataclass(slots=True)
class ReleaseRoutes:
    """The routes of a release's `serve_models.py`: the models that serve, the faults of others."""

    release: Release
    left_out: Mapping[str, str]
    specs: list[ModelSpec] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, release: Release, left_out: Mapping[str, str]) -> ReleaseRoutes:
        """Read the routes of a release, but for the models `left_out`, which has the reasons."""
        routes = cls(release, left_out)
        generator.run(release.path / "serve_models.py", routes)
        return routes

    def model(self, name: str, *, folder: str, version: str, **properties: Any) -> None:
        """Load a model; one that does not load, or is left out, becomes a fault."""
        values = {**properties, "name": name, "path": folder, "version": version}
        if reason := self.left_out.get(name):
            self.faults[name] = reason
        else:
            self.specs.append(from_json(ModelSpec, values).below(self.release.path))

    def unavailable(self, name: str, *, reason: str) -> None:
        """Keep why a model does not serve."""
        entry = self.release.models.get(ModelName(name))
        # A folder whose very name is refused has no route: it may be the name of one of ours.
        if entry is None or entry.fault is None or entry.fault.stage != "name":
            self.faults[name] = reason

    def all(self) -> None:
        """`/all` answers for every model that was registered; there is nothing to load for it."""

    def hosted(self, spec: ModelSpec) -> HostedModel:
        """Return a model with what the check has found out about it."""
        entry = self.release.models.get(spec.name)
        if entry is None:
            return HostedModel(spec, Placement())
        return HostedModel(spec, entry.placement, entry.call_seconds)
