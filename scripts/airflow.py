"""Finds the Airflow of the tests; `python -m scripts.airflow` (`make airflow`) installs it once,
into an environment of its own in the user's cache.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "airflow" / "requirements.lock"
STAMP = ".stamp"
"""The file in the environment with the digest of the lock file that it was made from."""


def version() -> str:
    """The version of Airflow that airflow/requirements.txt pins."""
    pins = (ROOT / "airflow" / "requirements.txt").read_text("utf-8")
    [found] = re.findall(r"^apache-airflow==(\S+)", pins, re.MULTILINE)
    return str(found)


def folder() -> Path:
    """Where its environment is, or will be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "modelsync" / f"airflow-{version()}"


def python() -> Path | None:
    """The Python of its environment; None if it is not installed, or not as it is locked."""
    stamp = folder() / STAMP
    current = stamp.is_file() and stamp.read_text("utf-8") == _digest()
    return folder() / "bin" / "python" if current else None


def build() -> None:
    """Install it, unless that has been done. Raises CalledProcessError."""
    if python():
        return
    target = folder()
    print(f"installing Airflow {version()} into {target}", flush=True)
    (target / STAMP).unlink(missing_ok=True)
    uv = [sys.executable, "-m", "scripts.uv"]
    interpreter = str(target / "bin" / "python")
    create = [*uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(target)]
    install = [*uv, "pip", "sync", "--quiet", "--python", interpreter, "--require-hashes"]
    for command in (create, [*install, str(LOCK)]):
        subprocess.run(command, cwd=ROOT, check=True)
    (target / STAMP).write_text(_digest(), "utf-8")


def _digest() -> str:
    return hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()


if __name__ == "__main__":
    build()
