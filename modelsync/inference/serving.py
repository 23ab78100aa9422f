"""The service of one process: settings, one release with its models, and requests for a sync."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from modelsync.inference.codec import Codec
from modelsync.inference.dataplane import DataPlane
from modelsync.inference.outcome import Outcome
from modelsync.inference.process_runner import (
    ProcessRunner,
)
from modelsync.inference.sampling import Sampler
from modelsync.inference.version_cache import Fetch, VersionCache
from modelsync.inference.version_watch import VersionWatch
from modelsync.models.placement import Placement
from modelsync.models.types import LoadedModel, ModelEntry, ModelName
from modelsync.observability import counters, totals
from modelsync.observability.counters import Counters
from modelsync.releases.fitted import FittedVersions
from modelsync.releases.store import Release
from modelsync.settings import Settings
from modelsync.sync.status import Status, read_status

log = logging.getLogger(__name__)

SWITCHED_OFF = (
    "switched off: calling it has ended several worker processes, the log says how; "
    "push a new version of it"
)

MOVING = "moved to a process of its own, because it has stopped worker processes; the log says how"


RequestSync = Callable[[bool], None]
"""Asks the supervisor for a sync; true: whatever was recorded of the commit."""


@dataclass(slots=True)
class Service:
    """One release in one process.

    `release` is None before the first one: then no model answers and `/readyz` is 503. `faults`
    holds the models that are not loaded, with the reason. `request_sync` asks the supervisor for a
    sync; it is None in a process without supervisor. `draining` is true once the process has begun
    to end.

    `fitted`: the versions of trained models on disk. `watch` takes those that are current into this
    process, `cache` answers requests that name another one; `fetch` gets artefacts that are not on
    disk, None: from nowhere. `sampler` takes a share of the requests, None: of none.
    """

    settings: Settings
    release: Release | None
    faults: dict[str, str]
    dataplane: DataPlane
    request_sync: RequestSync | None = None
    draining: bool = False
    fetch: Fetch | None = None
    fitted: FittedVersions = field(init=False)
    cache: VersionCache = field(init=False)
    watch: VersionWatch = field(init=False)
    sampler: Sampler | None = field(init=False)
    _pid: int = field(default_factory=os.getpid)

    def __post_init__(self) -> None:
        settings, limit = self.settings, self.settings.sync.check_timeout
        self.fitted = FittedVersions(settings.state.home)
        self.cache = VersionCache(
            self.dataplane,
            self.fitted,
            limit=settings.training.versions_loaded,
            load_limit=limit,
            fetch=lambda: self.fetch,
        )
        self.sampler = Sampler.of(settings)
        self.watch = VersionWatch(self.dataplane, self.fitted, self.cache, limit)

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

    @property
    def stale(self) -> frozenset[str]:
        """The models that serve in an earlier version, as their newest one is broken."""
        return frozenset(name for name, entry in self.entries.items() if entry.state == "stale")

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
            return self._no_model()
        status = self.status()
        return (
            f"no release yet: {status.message}"
            if status.message
            else "no release yet: the first sync is running"
        )

    def _no_model(self) -> str | None:
        """Return that the release has no model that loads, None if it has one."""
        if self.models or not self.entries:
            return None
        return f"no model of the release loads: {self.base}/sync says why of each"

    def why_not(self, name: str) -> str:
        """Return why a model is listed but not called: not loaded, suspended, or switched off."""
        if reason := self.faults.get(name) or self.dataplane.suspended.get(name):
            return reason
        breaker = self.dataplane.breaker
        if breaker.is_moving(name):
            return MOVING
        return SWITCHED_OFF if breaker.is_open(name) else ""

    def version_fault(self, name: str) -> str:
        """Return why the version of a trained model that should serve does not, empty if it does.

        Another version of it serves meanwhile, or none.
        """
        runner = self.dataplane.runners.get(name)
        if runner is None or (refused := runner.refused) is None:
            return ""
        return f"version {refused.version.number} does not load: {refused.reason}"

    def predict_version(
        self, name: str, version: str, body: bytes, codec: Codec, request_id: str
    ) -> tuple[Outcome, LoadedModel | None]:
        """Answer one request with the version of that number, key, name or label, and wait.

        Returns the outcome, and the model with the version that was called, if one was.
        """
        return self.cache.predict(name, version, body, codec, request_id)

    def placement(self, entry: ModelEntry) -> Placement:
        """Return where a model runs here, and why: as the check has decided, or further apart."""
        runner = self.dataplane.runners.get(entry.name)
        if entry.placement.place == "runner" or not isinstance(runner, ProcessRunner):
            return entry.placement
        environment = "its requirements make an environment of its own"
        floor = f"MODELSYNC_ISOLATION is {self.settings.server.isolation}"
        reason = environment if entry.spec.environment else floor
        return replace(entry.placement, place="runner", reason=reason)

    def unavailable(self) -> dict[str, str]:
        """Return the models that are listed but not called, with the reason."""
        return {name: reason for name in self.dataplane.names if (reason := self.why_not(name))}

    def after_fork(self) -> None:
        """Give this process counters of its own, and watch for versions.

        Called in each worker after the fork, by other servers than ours before each request.
        """
        if os.getpid() != self._pid:
            self._pid = os.getpid()
            self.dataplane.counters = Counters(
                counters.folder(self.settings.state.home), self.dataplane.names
            )
