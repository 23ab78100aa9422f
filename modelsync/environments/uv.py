"""uv as a process: pip's and uv's configuration, a cache of ours, killed at the deadline.

The only module that runs uv. Building a package runs its code, so uv gets no secret of the service.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from modelsync.deadline import Deadline
from modelsync.environments.pip_configuration import PipConfigError, arguments_for_uv, for_uv
from modelsync.leash import leash
from modelsync.settings import child_environment

POLL = 0.25
"""Seconds between two looks at what uv has written."""

_NOT_FOR_UV = frozenset({"VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "PYTHONHOME", "UV_PROJECT"})
"""Variables that name another environment than the one that uv is to look at."""

_WITHOUT_EFFECT = frozenset({"UV_CACHE_DIR", "UV_NO_PROGRESS", "UV_HTTP_TIMEOUT", "UV_LINK_MODE"})
"""Variables of uv that do not change which packages it takes."""


class UvFailed(Exception):
    """uv has ended with an error. `words`: what it wrote to standard error."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


class Uv:
    """Runs uv with one cache.

    `settings`: a digest of what decides which packages uv takes, such as the index.
    """

    def __init__(self, cache: Path) -> None:
        """Raise UvFailed if there is no uv, or if pip's configuration cannot be read."""
        self._program = _program()
        given = child_environment() | {"UV_CACHE_DIR": str(cache.absolute())}
        self._given = {name: value for name, value in given.items() if name not in _NOT_FOR_UV}
        try:
            self._environ = for_uv(self._given)
        except PipConfigError as error:
            raise UvFailed(str(error)) from None
        self._environ |= {"NO_COLOR": "1", "UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never"}
        said = sorted(
            f"{name}={value}"
            for name, value in self._environ.items()
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

        Raises UvFailed, SyncTimeout at the deadline, and what `watch` raises; then nothing of it
        runs on.
        """
        command = [*leash(), self._program, *arguments_for_uv(list(arguments), self._given)]
        if offline:
            command.append("--offline")
        with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as complaint:
            child = subprocess.Popen(
                command,
                cwd=folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=complaint,
                start_new_session=True,
            )
            try:
                while (code := _wait(child)) is None:
                    deadline.check()
                    watch()
            finally:
                _kill(child)
            output.seek(0)
            complaint.seek(0)
            if code:
                raise UvFailed(complaint.read().decode("utf-8", "replace"))
            return output.read().decode("utf-8", "replace")


def _program() -> str:
    """Return the path of the uv that is installed with this package, or of the one on PATH."""
    try:
        from uv import find_uv_bin

        return find_uv_bin()
    except (ImportError, FileNotFoundError):
        if program := shutil.which("uv"):
            return program
    raise UvFailed("error: uv is not installed: pip install uv")


def _wait(child: subprocess.Popen[bytes]) -> int | None:
    with suppress(subprocess.TimeoutExpired):
        return child.wait(POLL)
    return None


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Kill uv and all that a build has started, also after its own end."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
