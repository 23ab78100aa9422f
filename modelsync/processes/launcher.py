"""Launches generations: one bad model keeps no release from being served.

A model that hangs while it loads, or ends the process, is left out of the next try. One that does
not load is left out by the generation itself.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping

from modelsync.models.types import ModelName
from modelsync.observability.logs import event
from modelsync.orphans import Children
from modelsync.processes.generation import Generation, NotReady
from modelsync.releases.store import Release
from modelsync.settings import Settings

log = logging.getLogger(__name__)

READY_TIMEOUT = 120.0
"""Seconds that a generation may take besides loading models, and the time of one in the check."""

LOAD_TIMEOUT = 10.0
"""Seconds that one model may take to load, besides twice its time in the check."""


class Launcher:
    """Launches the generations of one service.

    `listener` is the public socket, `requests` the descriptor through which workers request syncs.
    Each generation's process is added to `children`.
    """

    def __init__(
        self, settings: Settings, listener: socket.socket, requests: int, children: Children
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._requests = requests
        self._keeps_previous = settings.sync.on_broken_model == "previous"
        self._children = children
        check_timeout = settings.sync.check_timeout
        self._timeout = READY_TIMEOUT + check_timeout
        self._load_timeout = LOAD_TIMEOUT + 2 * check_timeout

    async def launch(self, release: Release | None, serving: Generation | None) -> Generation:
        """Start a generation of `release` and wait until all of it is ready.

        A model of which `serving` has an earlier version keeps that: where the new one does not
        load, NotReady names it as unfit. What is the same in both gets a second try, and is missing
        if that fails, too. On probation no model may be missing. Raises NotReady.
        """
        left_out: dict[str, str] = {}
        retried, version_dropped = False, set[str]()
        while True:
            try:
                generation = await self._start(release, left_out)
            except NotReady as error:
                if _has_versions(release, error.model) and error.model not in version_dropped:
                    version_dropped.add(error.model)  # it is not loaded again: `LoadAttempts`
                    continue
                if not error.model or error.model in left_out or self._settings.git.on_probation:
                    raise
                left_out[error.model] = str(error)
                _log_left_out(error.model, str(error))
                continue
            missing = not_loaded(generation)
            lost, kept = _lost(missing, generation, serving)
            if (missing and self._settings.git.on_probation) or (lost and self._keeps_previous):
                await generation.kill()
                raise NotReady(_listed(missing), transient=bool(lost), unfit=missing)
            if retried or not kept - left_out.keys():
                return generation
            await generation.kill()
            retried = True

    async def _start(self, release: Release | None, left_out: Mapping[str, str]) -> Generation:
        return await Generation.start(
            release,
            listener=self._listener,
            requests=self._requests,
            config=self._settings,
            timeout=self._timeout,
            load_timeout=self._load_timeout,
            left_out=left_out,
            children=self._children,
        )


def not_loaded(generation: Generation | None) -> dict[str, str]:
    """Return the models that passed the check but do not load in a generation, with the reason.

    The cause is the machine, or a flaky model.
    """
    release = generation.release if generation else None
    if generation is None or release is None:
        return {}
    return {
        name: reason
        for name, reason in generation.faults.items()
        if (entry := release.models.get(ModelName(name))) and entry.state != "failed"
    }


def _lost(
    missing: Mapping[str, str], generation: Generation, serving: Generation | None
) -> tuple[set[str], set[str]]:
    """Return the missing models that serve now: in an earlier version, and in the same one."""
    before, after = _versions(serving), _versions(generation)
    served = {name for name in missing if before.get(name) and name not in not_loaded(serving)}
    same = {name for name in served if before[name] == after.get(name)}
    return served - same, same


def _versions(generation: Generation | None) -> dict[str, str]:
    release = generation.release if generation else None
    return {name: entry.version for name, entry in release.models.items()} if release else {}


def _listed(missing: Mapping[str, str]) -> str:
    return "; ".join(f"{name} does not load: {reason}" for name, reason in missing.items())


def _has_versions(release: Release | None, name: str) -> bool:
    """Whether a model is trained, so that a fitted version may be what does not load."""
    entry = release.models.get(ModelName(name)) if release else None
    return entry is not None and entry.spec.trainable


def _log_left_out(name: str, reason: str) -> None:
    message = f"{name} is left out: {reason}"
    event(log, logging.ERROR, message, event="model_left_out", model=name)
