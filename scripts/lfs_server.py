"""Finds giftless, the Git LFS server of the tests; `python -m scripts.lfs_server` (`make
lfs-server`) installs it once, into an environment of its own in the user's cache.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

VERSION = "0.6.2"

# giftless declares no dependencies; these are what it imports, and what those need.
PINNED = (
    f"giftless=={VERSION}",
    "blinker==1.9.0",
    "cachetools==8.0.2",
    "click==8.5.1",
    "figcan==0.0.4",
    "flask==3.1.3",
    "flask-classful==0.16.0",
    "flask-marshmallow==1.5.0",
    "gunicorn==27.0.1",
    "itsdangerous==2.2.0",
    "jinja2==3.1.6",
    "markupsafe==3.0.4",
    "marshmallow==4.4.0",
    "packaging==26.4",
    "pyjwt==2.15.1",
    "python-dateutil==4.0.0",
    "python-dotenv==1.2.4",
    "pyyaml==6.0.3",
    "typing-extensions==4.16.0",
    "tzdata==2026.6",
    "webargs==8.7.1",
    "werkzeug==3.1.9",
)

STAMP = ".stamp"
"""The file in the environment with the digest of what it was made from."""


def folder() -> Path:
    """Where its environment is, or will be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "modelsync" / f"giftless-{VERSION}"


def python() -> Path | None:
    """The Python of its environment; None if it is not installed, or not as it is pinned."""
    stamp = folder() / STAMP
    current = stamp.is_file() and stamp.read_text("utf-8") == _digest()
    return folder() / "bin" / "python" if current else None


def build() -> None:
    """Install it, unless that has been done. Raises CalledProcessError."""
    if python():
        return
    target = folder()
    print(f"installing giftless {VERSION} into {target}", flush=True)
    (target / STAMP).unlink(missing_ok=True)
    uv = [sys.executable, "-m", "scripts.uv"]
    create = [*uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(target)]
    interpreter = str(target / "bin" / "python")
    install = [*uv, "pip", "install", "--quiet", "--no-deps", "--python", interpreter, *PINNED]
    for command in (create, install):
        subprocess.run(command, cwd=Path(__file__).parents[1], check=True)
    (target / STAMP).write_text(_digest(), "utf-8")


def _digest() -> str:
    return hashlib.sha256("\n".join((*PINNED, sys.version)).encode()).hexdigest()


if __name__ == "__main__":
    build()
