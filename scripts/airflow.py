"""Finds the Airflow of the tests; `python -m scripts.airflow` (`make airflow`) installs it once,
into an environment of its own in the user's cache.
"""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

from scripts.cached_environment import CachedEnvironment

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "airflow" / "requirements.lock"


def version() -> str:
    """The version of Airflow that airflow/requirements.txt pins."""
    pins = (ROOT / "airflow" / "requirements.txt").read_text("utf-8")
    [found] = re.findall(r"^apache-airflow==(\S+)", pins, re.MULTILINE)
    return str(found)


def environment() -> CachedEnvironment:
    """The environment, which may not be there yet."""
    digest = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()
    install = ("sync", "--require-hashes", str(LOCK))
    return CachedEnvironment(f"airflow-{version()}", digest, install)


def python() -> Path | None:
    """The Python of its environment; None if it is not installed, or not as it is locked."""
    return environment().python()


if __name__ == "__main__":
    environment().build()
