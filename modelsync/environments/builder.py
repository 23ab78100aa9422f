"""Builds environments: resolves requirements, installs what they come to, and nothing twice.

What a set has been resolved to is kept, so that a set which has not changed asks no index, and one
whose environment is there runs no uv at all.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from pathlib import Path

from modelsync.deadline import Deadline
from modelsync.environments import diagnostics
from modelsync.environments.command import CommandFailed
from modelsync.environments.installation import Installation, key_of
from modelsync.environments.meter import Meter, TooLarge, size_of
from modelsync.environments.requirements import Requirements
from modelsync.environments.resolutions import Resolution, Resolutions
from modelsync.environments.store import Environment, Environments, folder_of
from modelsync.environments.uv import Uv
from modelsync.errors import ModelBroken, SyncTimeout
from modelsync.files import storage
from modelsync.models.types import Fault
from modelsync.observability.logs import event
from modelsync.settings import EnvironmentSettings, Settings

CACHE, RESOLVED = ".cache", ".resolved"
"""The folders of uv's cache, whose files the environments link, and of resolutions."""

BYTECODE = "modelsync-bytecode"
"""The folder, in uv's cache, of bytecode, which the environments link too."""

_log = logging.getLogger(__name__)


class Builder:
    """Provides the environments of an update.

    Once an index could not be reached, no other set waits until uv gives up.
    """

    def __init__(
        self, settings: EnvironmentSettings, folder: Path, shared: Path | None = None
    ) -> None:
        """`folder`: that of the environments. `shared`: a folder that several services share, with
        what they have resolved and downloaded.
        """
        self.environments = Environments(folder, settings.prepared)
        prepared = settings.prepared / RESOLVED if settings.prepared else None
        shared = _usable(shared)
        self._resolutions = Resolutions(
            self.environments.folder / RESOLVED, shared / RESOLVED if shared else None, prepared
        )
        self._cache = (shared or self.environments.folder) / CACHE
        self._settings = settings
        self._away = False

    @classmethod
    def of(cls, settings: Settings) -> Builder:
        """Return the builder of a service: it builds into the state directory."""
        return cls(settings.environments, folder_of(settings.state.home), settings.git.cache)

    def provide(self, requirements: Requirements) -> str:
        """Return the id of the environment of a set, which is built if it is not here.

        Raises ModelBroken if that is not possible, StorageFailed.
        """
        deadline = Deadline(self._settings.timeout)
        key = key_of(requirements)
        try:
            uv = Uv(self._cache)
            known = self._resolutions.find(key, uv.settings)
            if known and self.environments.has(known.id):
                return known.id
            with (
                self.environments.lock(deadline),
                tempfile.TemporaryDirectory(prefix="modelsync-environment-") as name,
            ):
                with storage():
                    requirements.write(Path(name))
                work = Installation(
                    requirements, Path(name), uv, deadline, known is not None, self._away
                )
                return self._built(work, key, known)
        except CommandFailed as error:
            self._away = self._away or diagnostics.is_away(error.words)
            fault = diagnostics.explain(error.words, requirements)
            raise ModelBroken(fault) from None
        except SyncTimeout:
            raise ModelBroken(self._late(requirements)) from None
        except TooLarge as error:
            raise ModelBroken(_large(requirements, error)) from None

    def _built(self, work: Installation, key: str, known: Resolution | None) -> str:
        """Resolve a set and build its environment, as far as that has not been done yet."""
        if known is None or not Path(known.python).exists():
            known = work.resolve()
            self._resolutions.keep(key, known)
        if not self.environments.has(known.id):
            began = time.monotonic()
            with self.environments.building() as path:
                work.install(known, path, Meter(self._cache, path, self._settings.size))
                work.compile(path, self._cache / BYTECODE)
                made = Environment(
                    known.id,
                    known.version,
                    known.packages,
                    size_of(path),
                    round(time.monotonic() - began, 2),
                )
                self.environments.publish(path, made)
            event(
                _log,
                logging.INFO,
                f"environment {made.id} built in {made.seconds:.1f} s",
                event="environment_built",
                environment=made.id,
                seconds=made.seconds,
                bytes=made.size,
                packages=len(made.packages),
                python=made.python,
            )
        return known.id

    def _late(self, requirements: Requirements) -> Fault:
        message = f"its environment was not built within {self._settings.timeout:g} s"
        hint = "MODELSYNC_ENVIRONMENT_TIMEOUT allows more"
        return Fault("environment", message, requirements.main, hint=hint)


def _usable(shared: Path | None) -> Path | None:
    """Return the part of a shared folder that holds environments; None if it cannot be written."""
    if shared is None:
        return None
    folder = shared.absolute() / "environments"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    except OSError as error:
        _log.warning("the shared cache cannot be used for environments: %s", error.strerror)
    return None


def _large(requirements: Requirements, error: TooLarge) -> Fault:
    hint = "MODELSYNC_ENVIRONMENT_SIZE allows more"
    return Fault("environment", str(error), requirements.main, hint=hint)
