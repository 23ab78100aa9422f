"""Watches which fitted versions are to serve, and takes them into the running process.

A version is loaded beside the one that serves, in a thread; then the next requests are answered by
it. One that does not load changes nothing: the version before it goes on, with the reason shown.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from time import monotonic

from modelsync.backoff import Backoff
from modelsync.errors import ModelsyncError
from modelsync.inference.dataplane import DataPlane
from modelsync.inference.model_runner import ModelRunner
from modelsync.inference.replacement import bring_up, retire
from modelsync.inference.threads import start_thread
from modelsync.inference.version_cache import VersionCache
from modelsync.inference.version_loading import RefusedVersion, log_refused
from modelsync.models.versions import FittedVersion
from modelsync.releases.fitted import FittedVersions, ModelVersions

log = logging.getLogger(__name__)

TICK = 0.25
"""Seconds between two looks at the versions on disk."""

MAX_LOADING = 4
"""Models whose versions are loaded at a time."""

RETRY = Backoff(first=2.0, most=300.0)
"""Seconds until a version is tried again that does not load: memory may have been short."""

Replace = Callable[[str, ModelRunner], Callable[[], bool]]
"""Has a runner answer the next requests for a model. Returns what tells whether requests for the
one before it wait in the event loop.
"""


class VersionWatch:
    """The watch of one process; `start` starts its thread. `load_limit` is in seconds."""

    def __init__(
        self, dataplane: DataPlane, fitted: FittedVersions, cache: VersionCache, load_limit: float
    ) -> None:
        self._dataplane = dataplane
        self._fitted = fitted
        self._cache = cache
        self._load_limit = load_limit
        self._names = [name for name, one in dataplane.runners.items() if one.replaceable]
        self._replace: Replace = self._replace_at_once
        self._stamp: object = None
        self._wanted: dict[str, ModelVersions] | None = None
        self._loading: set[str] = set()
        self._failures: dict[str, tuple[FittedVersion | None, int, float]] = {}
        self._acknowledged: tuple[dict[str, int | None], dict[str, int]] | None = None
        self._changed = threading.Condition()
        self._started = False
        self._ended = False

    @property
    def needed(self) -> bool:
        """Whether a model is trained."""
        return bool(self._names)

    def start(self, replace: Replace | None = None) -> None:
        """Watch from now on, unless no model is trained, or it has been started."""
        if self._started or not self.needed:
            return
        self._started = True
        self._replace = replace or self._replace_at_once
        start_thread(self._run, "modelsync-versions")

    def catch_up(self, limit: float) -> None:
        """Wait until the versions serve that are to serve now, at most `limit` seconds.

        For a worker that is forked from a master which has loaded earlier versions.
        """
        deadline = monotonic() + limit
        with self._changed:
            while self._started and (self._acknowledged is None or self._loading):
                if not self._changed.wait(max(0.0, deadline - monotonic())):
                    return

    def end(self) -> None:
        """The process ends: load nothing more."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def loading(self, name: str) -> FittedVersion | None:
        """Return the version of a model that is being loaded here, to serve."""
        return self._serving(name) if name in self._loading else None

    def _run(self) -> None:
        while not self._ended:
            try:
                self._look()
            except Exception:
                log.exception("the versions of models could not be looked at")
            with self._changed:
                self._changed.wait(TICK)

    def _look(self) -> None:
        """Begin to load what is to serve and does not; tell what serves."""
        if (stamp := self._fitted.stamp()) != self._stamp:
            self._stamp = stamp
            if (known := self._fitted.known()) is not None:  # else what serves goes on
                self._wanted = known
                self._failures.clear()
                self._cache.forget(self._needless)
        if self._wanted is not None:
            for name in self._names:
                self._bring_about(name)
        self._acknowledge()

    def _needless(self, version: FittedVersion) -> bool:
        """Whether a version that is loaded for requests by version has been deleted, or serves."""
        versions = (self._wanted or {}).get(version.model, ModelVersions())
        return version.number not in versions.versions or version.number == versions.current

    def _serving(self, name: str) -> FittedVersion | None:
        """Return the version that is to serve."""
        return (self._wanted or {}).get(name, ModelVersions()).serving

    def _bring_about(self, name: str) -> None:
        """Begin to load the version that is to serve; not if it serves, loads or just failed."""
        wanted, current = self._serving(name), self._dataplane.runners[name]
        if _same(wanted, current.model.fitted):
            current.refused = None
            return
        refused = current.refused  # perhaps it was tried when this process began
        if name not in self._failures and refused and _same(wanted, refused.version):
            self._note_failure(name, wanted)
        failed, _, due = self._failures.get(name, (None, 0, 0.0))
        waits = _same(failed, wanted) and monotonic() < due
        if name in self._loading or waits or len(self._loading) >= MAX_LOADING:
            return
        self._loading.add(name)
        try:
            start_thread(lambda: self._swap(name, wanted), f"modelsync-swap-{name}")
        except ModelsyncError:
            self._loading.discard(name)

    def _swap(self, name: str, wanted: FittedVersion | None) -> None:
        """Load a version and have it answer the next requests; in a thread of its own."""
        current = self._dataplane.runners[name]
        try:
            runner = bring_up(self._dataplane, current, wanted, self._load_limit)
        except ModelsyncError as error:
            self._refuse(name, wanted, str(error))
        except Exception as error:
            log.exception("a version of %s could not be loaded", name)
            self._refuse(name, wanted, type(error).__name__)
        else:
            if _same(wanted, self._serving(name)) and not self._ended:
                idle = self._replace(name, runner)
                number = wanted.number if wanted else None
                fields = {"event": "version_serves", "model": name, "version": number}
                log.info("version %s of %s serves", number, name, extra={"fields": fields})
                retire(current, idle, self._dataplane.timeout + 5)
            else:
                retire(runner, lambda: True, self._dataplane.timeout + 5)
        finally:
            with self._changed:
                self._loading.discard(name)
                self._changed.notify_all()

    def _refuse(self, name: str, wanted: FittedVersion | None, reason: str) -> None:
        """Go on with what serves; log why, unless that is known."""
        current = self._dataplane.runners[name]
        if wanted is not None:
            refused = RefusedVersion(wanted, reason)
            if current.refused != refused:
                log_refused(name, refused)
            current.refused = refused
        self._note_failure(name, wanted)

    def _note_failure(self, name: str, wanted: FittedVersion | None) -> None:
        failed, failures, _ = self._failures.get(name, (None, 0, 0.0))
        failures = failures + 1 if _same(failed, wanted) else 1
        pause = RETRY.pause(failures, random.random())  # noqa: S311  no secret
        self._failures[name] = (wanted, failures, monotonic() + pause)

    def _replace_at_once(self, name: str, runner: ModelRunner) -> Callable[[], bool]:
        """Replace a runner where no event loop of ours calls it."""
        self._dataplane.replace(name, runner)
        return lambda: True

    def _acknowledge(self) -> None:
        """Tell which versions are called here, and which current ones cannot be loaded."""
        runners = self._dataplane.runners
        served: dict[str, int | None] = {}
        refused: dict[str, int] = {}
        for name in self._names:
            fitted = runners[name].model.fitted
            served[name] = fitted.number if fitted else None
            failed, *_ = self._failures.get(name, (None,))
            if failed and _same(failed, self._serving(name)):
                refused[name] = failed.number
        if (served, refused) != self._acknowledged:
            for name, number in served.items():
                self._dataplane.breaker.serves(name, number or 0)
            self._fitted.acknowledge(served, refused)
            with self._changed:
                self._acknowledged = served, refused
                self._changed.notify_all()


def _same(one: FittedVersion | None, other: FittedVersion | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one.number, one.sha256) == (other.number, other.sha256)
