"""A virtual environment for each peer, outside the repository, made once and again when its
requirements change.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent


class NotInstalled(Exception):
    """The peer's packages cannot be installed on this machine; the message is pip's last words."""


def folder(key: str) -> Path:
    """The folder of a peer's environment."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "modelsync-bench" / key


@cache
def install(key: str) -> None:
    """Have the environment of a peer. Raises NotInstalled."""
    requirements = HERE / key / "requirements.txt"
    if not requirements.exists():
        return

    def make(place: Path) -> None:
        _run([sys.executable, "-m", "venv", str(place)])
        _run([str(place / "bin" / "pip"), "install", "--quiet", "--requirement", str(requirements)])

    once(folder(key), requirements.read_bytes(), make)


def once(place: Path, sources: bytes, make: Callable[[Path], None]) -> None:
    """Have what `make` puts into a folder, made again when its sources change."""
    wanted = hashlib.sha256(sources).hexdigest()
    mark = place / "installed"
    if mark.exists() and mark.read_text() == wanted:
        return
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    make(place)
    mark.write_text(wanted)


def versions(key: str, packages: tuple[str, ...]) -> str:
    """The installed versions of the named packages, read in the environment itself."""
    place = folder(key) / "bin" / "python"
    code = (
        "import sys, importlib.metadata as m; print(', '.join(f'{n} {m.version(n)}' for n in "
        "sys.argv[1:]))"
    )
    if not packages or not place.exists():
        return ""
    return subprocess.run(
        [place, "-c", code, *packages], capture_output=True, text=True, check=False
    ).stdout.strip()


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotInstalled((done.stderr or done.stdout).strip()[-500:])
