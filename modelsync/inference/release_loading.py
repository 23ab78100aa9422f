"""Loads the models of a release, in this process or in runners."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType

from modelsync.errors import ModelBroken
from modelsync.inference import candidates
from modelsync.inference.circuit_breaker import CircuitBreaker
from modelsync.inference.dataplane import DataPlane
from modelsync.inference.model_runner import ModelRunner
from modelsync.inference.process_runner import (
    HostedModel,
    ProcessRunner,
    RunnerHost,
    groups_of,
    runner_of,
)
from modelsync.inference.routes import ReleaseRoutes
from modelsync.inference.runners import InProcessRunner
from modelsync.inference.serving import RequestSync, Service
from modelsync.inference.thread_runner import ThreadRunner
from modelsync.inference.version_loading import LoadTerms, load_first
from modelsync.models.compiled import fallbacks
from modelsync.models.versions import FittedVersion
from modelsync.observability import counters
from modelsync.observability.counters import Counters
from modelsync.releases.store import Release
from modelsync.settings import Settings

log = logging.getLogger(__name__)


def start_runners(
    settings: Settings, release: Release, left_out: Mapping[str, str], host: RunnerHost
) -> None:
    """Start the runners of a release, if it needs any; does not wait.

    For a master whose workers load their models themselves: before the fork, so that they are its
    own. `load` starts those that do not run yet.
    """
    _start_runners(ReleaseRoutes.of(release, left_out), settings, host)


def _start_runners(routes: ReleaseRoutes, settings: Settings, host: RunnerHost) -> None:
    models = [routes.hosted(spec) for spec in routes.specs]
    models = candidates.with_versions(models, settings.state.home)
    host.start(groups_of(models, settings.server.isolation))


def _make_runner(model: HostedModel, terms: LoadTerms) -> ModelRunner:
    """Load a model that runs in this process. Raises ModelBroken."""
    spec = model.spec
    if model.placement.place == "thread":
        return ThreadRunner(spec, versions=model.versions, terms=terms)

    def load(version: FittedVersion | None) -> InProcessRunner:
        return InProcessRunner.load(spec, model.placement, fitted=version, terms=terms)

    runner = load_first(spec, model.versions, load)
    # One call at a time: then one thread that makes them all is faster than a lock of many, and a
    # call that holds the lock never blocks the event loop.
    return runner if runner.model.lock is None else ThreadRunner(model.spec, runner)


def load(
    settings: Settings,
    release: Release | None,
    *,
    request_sync: RequestSync | None = None,
    breaker: CircuitBreaker | None = None,
    left_out: Mapping[str, str] = MappingProxyType({}),
    on_load: Callable[[str], None] = lambda _: None,
    host: RunnerHost | None = None,
) -> Service:
    """Load every model of `release`, here or in runners of `host`; `left_out` has why some are not.

    Model code runs here; none of its failures passes. `on_load` is called with the name of each
    model before it is loaded.
    """
    routes = ReleaseRoutes.of(release, left_out) if release else None
    faults = routes.faults if routes else {}
    runners: dict[str, ModelRunner] = {}
    if routes:
        runners = _load(routes, settings, on_load, host)
    dataplane = DataPlane(
        runners,
        faults,
        Counters(counters.folder(settings.state.home), sorted({*runners, *faults})),
        release=release.commit if release else None,
        folder=str((release.path / "models_serve").absolute()) if release else "",
        threads=settings.server.threads,
        max_queue=settings.server.max_queue,
        timeout=settings.server.predict_timeout,
        max_buffered=settings.server.max_buffered,
        breaker=breaker,
    )
    fallbacks.listen(dataplane.count_fallbacks)
    return Service(settings, release, faults, dataplane, request_sync)


def _load(
    routes: ReleaseRoutes,
    settings: Settings,
    on_load: Callable[[str], None],
    host: RunnerHost | None,
) -> dict[str, ModelRunner]:
    """Load the models: those of runners there, side by side, and meanwhile the others here."""
    if host:
        _start_runners(routes, settings, host)
    loaded: dict[str, ModelRunner] = {}
    terms = candidates.terms(settings, max_deaths=1)
    models = [routes.hosted(spec) for spec in routes.specs]
    for model in candidates.with_versions(models, settings.state.home):
        spec = model.spec
        if host and runner_of(model, settings.server.isolation):
            continue
        on_load(spec.name)
        try:
            runner = _make_runner(model, terms)
        except ModelBroken as error:
            _does_not_load(routes, spec.name, str(error))
        else:
            fitted = runner.model.fitted
            runner.model.call_seconds = (fitted and fitted.call_seconds) or model.call_seconds
            loaded[spec.name] = runner
    on_load("")
    for hosted in host.hosted(lambda: on_load("")) if host else ():
        for name, reason in hosted.faults.items():
            _does_not_load(routes, name, reason)
        for name, described in hosted.models.items():
            loaded[name] = ProcessRunner(
                described, hosted.channel, hosted.numbers[name], settings.server.max_queue
            )
            loaded[name].refused = hosted.refused.get(name)
    return {str(spec.name): loaded[spec.name] for spec in routes.specs if spec.name in loaded}


def _does_not_load(routes: ReleaseRoutes, name: str, reason: str) -> None:
    """Keep why a model does not load. It loaded in the check, so this is the machine's fault:
    memory, a missing mount, another library.
    """
    log.error("%s does not load here: %s", name, reason)
    routes.faults[name] = reason
