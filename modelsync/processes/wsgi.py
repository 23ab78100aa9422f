"""The WSGI application for another server: `gunicorn app:app` and its like.

`modelsync serve` does not use it: there the supervisor passes each generation its release.
"""

from __future__ import annotations

import atexit
import os
from typing import TYPE_CHECKING

from modelsync import settings
from modelsync.api.app import create_app
from modelsync.errors import SyncError
from modelsync.inference import release_loading
from modelsync.observability import logs
from modelsync.processes.runner_processes import RunnerProcesses
from modelsync.releases import owners
from modelsync.releases.store import Release
from modelsync.settings import Settings
from modelsync.sync import sources
from modelsync.sync.update import Updater

if TYPE_CHECKING:
    from flask import Flask


def application() -> Flask:
    """Build the application for the environment's settings, from an up-to-date release.

    Each worker of a server that does not preload calls this, also one that replaces another later.
    All processes forked by one master serve the release that the first of them made; to follow the
    source, use `modelsync serve` or restart the master.

    Raises SettingsError.
    """
    settings.load_file()  # as the command does
    config = settings.load()
    logs.configure(config.logs, secrets=logs.secrets_of(config))
    owners.share(config.state.home)
    release = owners.agree_on_release(config.state.home, lambda: _up_to_date(config))
    settings.hide_secrets(os.environ)
    runners = RunnerProcesses(config, release.path / "models_serve") if release else None
    app = create_app(release_loading.load(config, release, host=runners))
    if runners:
        runners.watch_in_thread()
        atexit.register(runners.end)
        app.extensions["modelsync-runners"] = runners  # for a worker that ends without `atexit`
    return app


def _up_to_date(config: Settings) -> Release | None:
    try:
        return Updater(config).run().release
    except SyncError:  # logged and in the status; the last release continues to serve
        return sources.current(config)
