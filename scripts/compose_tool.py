"""Docker Compose itself: the plugin of this machine's docker, else one that `python -m
scripts.compose_tool` (`make compose-tool`) builds with Go, once, into the user's cache.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from functools import cache
from pathlib import Path

VERSION = "v5.6.0"
_MODULE = "github.com/docker/compose/v5"


def cached() -> Path:
    """Where it is, once it has been built."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "modelsync" / f"docker-compose-{VERSION}" / "docker-compose"


@cache
def command() -> tuple[str, ...]:
    """The words that start it; none if it is not here."""
    if cached().exists():
        return (str(cached()),)
    try:
        found = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    except OSError:
        return ()
    return () if found.returncode else ("docker", "compose")


def build() -> None:
    """Build it, unless there is one. Raises CalledProcessError.

    Its module excludes versions of others, which `go install` refuses, so it is built as a
    dependency of a module that has nothing else.
    """
    if command():
        return
    print(f"building Docker Compose {VERSION} into {cached().parent}: some minutes", flush=True)
    cached().parent.mkdir(parents=True, exist_ok=True)
    package = f"{_MODULE}/cmd"
    flags = f"-s -w -X {_MODULE}/internal.Version={VERSION}"
    with tempfile.TemporaryDirectory(dir=cached().parent) as folder:
        for words in (
            ["mod", "init", "compose-tool"],
            ["get", f"{package}@{VERSION}"],
            ["build", "-trimpath", "-ldflags", flags, "-o", "docker-compose", package],
        ):
            subprocess.run(["go", *words], cwd=folder, check=True)
        (Path(folder) / "docker-compose").rename(cached())


if __name__ == "__main__":
    build()
