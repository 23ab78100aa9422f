"""The service of one process: settings, one release with its models, and requests for a sync."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from modelsync.errors import ModelBroken
from modelsync.inference.circuit_breaker import CircuitBreaker
from modelsync.inference.dataplane import DataPlane
from modelsync.inference.runners import InProcessRunner, ModelRunner
from modelsync.models.codegen import generator
from modelsync.models.serialization import from_json
from modelsync.models.types import LoadedModel, ModelEntry, ModelName, ModelSpec
from modelsync.observability import counters, totals
from modelsync.observability.counters import Counters
from modelsync.releases.store import Release
from modelsync.settings import Settings
from modelsync.sync.status import Status, read_status

log = logging.getLogger(__name__)

SWITCHED_OFF = (
    "switched off: calling it has ended several worker processes, the log says how; "
    "push a new version of it"
)


RequestSync = Callable[[bool], None]
"""Asks the supervisor for a sync; true: whatever was recorded of the commit."""


@dataclass(slots=True)
class Service:
    """One release in one process.

    `release` is None before the first one: then no model answers and `/readyz` is 503. `faults`
    holds the models that are not loaded, with the reason. `request_sync` asks the supervisor for a
    sync; it is None in a process without supervisor. `draining` is true once the process has begun
    to end.
    """

    settings: Settings
    release: Release | None
    faults: dict[str, str]
    dataplane: DataPlane
    request_sync: RequestSync | None = None
    draining: bool = False
    _pid: int = field(default_factory=os.getpid)

    @property
    def models(self) -> dict[str, LoadedModel]:
        """The loaded models by name."""
        return self.dataplane.models

    @property
    def base(self) -> str:
        """The URL prefix: empty, or with a slash at its start and none at its end."""
        return f"/{self.settings.server.base_url}" if self.settings.server.base_url else ""

    @property
    def commit(self) -> str | None:
        """The commit of the release (standalone: its content digest), None before the first one."""
        return self.release.commit if self.release else None

    @property
    def entries(self) -> dict[ModelName, ModelEntry]:
        """All models of the release, loaded or not."""
        return self.release.models if self.release else {}

    def status(self) -> Status:
        """Return the result of the last sync, as the update wrote it."""
        return read_status(self.settings.state.home)

    def totals(self) -> dict[str, totals.Totals]:
        """The counters of all workers by model."""
        return totals.read(counters.folder(self.settings.state.home))

    def not_ready(self) -> str | None:
        """Return why no request should be sent here, None if the service is ready."""
        if self.draining:
            return "the process is ending"
        if self.release is not None:
            return None
        status = self.status()
        return (
            f"no release yet: {status.message}"
            if status.message
            else "no release yet: the first sync is running"
        )

    def why_not(self, name: str) -> str:
        """Return why a model is listed but not called: not loaded, suspended, or switched off."""
        if reason := self.faults.get(name) or self.dataplane.suspended.get(name):
            return reason
        return SWITCHED_OFF if self.dataplane.breaker.is_open(name) else ""

    def unavailable(self) -> dict[str, str]:
        """Return the models that are listed but not called, with the reason."""
        return {name: reason for name in self.dataplane.names if (reason := self.why_not(name))}

    def after_fork(self) -> None:
        """Give this process counters of its own; called in each worker after the fork."""
        if os.getpid() != self._pid:
            self._pid = os.getpid()
            self.dataplane.counters = Counters(
                counters.folder(self.settings.state.home), list(self.models)
            )


@dataclass(slots=True)
class _Loading:
    """The routes of a release's `serve_models.py`, each model loaded as it is registered."""

    release: Release
    left_out: Mapping[str, str]
    on_load: Callable[[str], None]
    runners: dict[str, ModelRunner] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)

    def model(self, name: str, *, folder: str, version: str, **properties: Any) -> None:
        """Load a model; one that does not load, or is left out, becomes a fault."""
        path = self.release.path / folder
        values = {**properties, "name": name, "path": path, "version": version}
        spec = from_json(ModelSpec, values)
        if reason := self.left_out.get(name):
            self.faults[name] = reason
            return
        self.on_load(name)
        try:
            runner = InProcessRunner.load(spec)
        except ModelBroken as error:
            # It loaded in the check, so this is the machine's fault: memory, a missing mount,
            # another library.
            log.error("%s does not load here: %s", name, error)
            self.faults[name] = str(error)
            return
        entry = self.release.models.get(spec.name)
        runner.model.call_seconds = entry.measured.call_seconds if entry else None
        self.runners[name] = runner

    def unavailable(self, name: str, *, reason: str) -> None:
        entry = self.release.models.get(ModelName(name))
        # A folder whose very name is refused has no route: it may be the name of one of ours.
        if entry is None or entry.fault is None or entry.fault.stage != "name":
            self.faults[name] = reason

    def all(self) -> None:
        """`/all` answers for every model that was registered; there is nothing to load for it."""


def load(
    settings: Settings,
    release: Release | None,
    *,
    request_sync: RequestSync | None = None,
    breaker: CircuitBreaker | None = None,
    left_out: Mapping[str, str] = MappingProxyType({}),
    on_load: Callable[[str], None] = lambda _: None,
) -> Service:
    """Load every model of `release` into this process but those `left_out`, which has the reasons.

    Model code runs here; none of its failures passes. `on_load` is called with the name of each
    model before it is loaded.
    """
    loaded = _Loading(release, left_out, on_load) if release else None
    runners = loaded.runners if loaded else {}
    faults = loaded.faults if loaded else {}
    if loaded and release:
        generator.run(release.path / "serve_models.py", loaded)
    dataplane = DataPlane(
        runners,
        faults,
        Counters(counters.folder(settings.state.home), list(runners)),
        release=release.commit if release else None,
        folder=str((release.path / "models_serve").absolute()) if release else "",
        threads=settings.server.threads,
        max_queue=settings.server.max_queue,
        timeout=settings.server.predict_timeout,
        breaker=breaker,
    )
    return Service(settings, release, faults, dataplane, request_sync)
