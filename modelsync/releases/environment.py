"""The environment of a release: Python, the libraries, and the settings that decide its content."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform

from modelsync.settings import Settings


def environment_of(settings: Settings, view: str) -> str:
    """A digest of everything but the commit that decides the result of an update of `view`, the
    part of the repository that is served.
    """
    git, sync = settings.git, settings.sync
    return environment(
        view,
        sync.on_broken_model,
        sync.check_timeout,
        git.lfs,
        git.lfs_size,
        git.lfs_url,
        git.models,
        settings.compile.mode,
        settings.compile.tolerance,
    )


def environment(*settings: object) -> str:
    """A digest of Python and the installed libraries, because a model that is broken today may load
    in the next image; and of the `settings` that an update depends on.
    """
    found = (item.metadata for item in importlib.metadata.distributions())  # parsed at each use
    installed = sorted(f"{item['Name']}=={item['Version']}" for item in found)
    return hashlib.sha256(
        "\n".join([platform.python_version(), *installed, *map(str, settings)]).encode()
    ).hexdigest()[:16]
