"""uv as a process: with pip's and its own configuration, and a cache of ours.

The only module that runs uv. Building a package runs its code, so uv gets no secret of the service.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

from modelsync.deadline import Deadline
from modelsync.environments.command import CommandFailed, run
from modelsync.environments.pip_configuration import PipConfigError, arguments_for_uv, for_uv
from modelsync.settings import child_environment

_NOT_FOR_UV = frozenset({"VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "UV_PROJECT"})
"""Variables that name another environment than the one that uv is to look at."""

_WITHOUT_EFFECT = frozenset({"UV_CACHE_DIR", "UV_NO_PROGRESS", "UV_HTTP_TIMEOUT", "UV_LINK_MODE"})
"""Variables of uv that do not change which packages it takes."""


class Uv:
    """Runs uv with one cache.

    `environ`: its environment. `settings`: a digest of what decides which packages uv takes, such
    as the index.
    """

    def __init__(self, cache: Path) -> None:
        """Raise CommandFailed if there is no uv, or if pip's configuration cannot be read."""
        self._program = _program()
        given = child_environment() | {"UV_CACHE_DIR": str(cache.absolute())}
        self._given = {name: value for name, value in given.items() if name not in _NOT_FOR_UV}
        try:
            self.environ = for_uv(self._given)
        except PipConfigError as error:
            raise CommandFailed(str(error)) from None
        self.environ |= {"NO_COLOR": "1", "UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never"}
        said = sorted(
            f"{name}={value}"
            for name, value in self.environ.items()
            if name.startswith("UV_") and name not in _WITHOUT_EFFECT
        )
        said += arguments_for_uv(["build"], self._given)  # tells whether there is an index
        self.settings = hashlib.sha256("\n".join(said).encode()).hexdigest()

    def run(
        self,
        *arguments: str,
        folder: Path,
        deadline: Deadline,
        offline: bool = False,
        watch: Callable[[], None] = lambda: None,
    ) -> str:
        """Run uv in a folder and return what it printed. `watch` is called while it runs.

        `offline`: it asks no index, and takes what the cache holds.

        Raises CommandFailed, SyncTimeout at the deadline, and what `watch` raises.
        """
        command = [self._program, *arguments_for_uv(list(arguments), self._given)]
        if offline:
            command.append("--offline")
        return run(command, environ=self.environ, folder=folder, deadline=deadline, watch=watch)


def _program() -> str:
    """Return the path of the uv that is installed with this package, or of the one on PATH."""
    try:
        from uv import find_uv_bin

        return find_uv_bin()
    except (ImportError, FileNotFoundError):
        if program := shutil.which("uv"):
            return program
    raise CommandFailed("error: uv is not installed: pip install uv")
