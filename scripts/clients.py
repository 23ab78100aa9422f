"""Finds the tools that make clients of the OpenAPI document, for the tests of `tests/clients/`;
`python -m scripts.clients` (`make client-tools`) installs them once, in the user's cache:
openapi-python-client and schemathesis in an environment of their own, openapi-typescript with npm.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PINNED = ROOT / "tests" / "clients"

LOCK = PINNED / "requirements.lock"
PACKAGES = ("package.json", "package-lock.json")
STAMP = ".stamp"
"""The file in a folder with the digest of what it was made from."""


def folder() -> Path:
    """Where all of it is, or will be."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "modelsync" / f"clients-{_digest()[:12]}"


def missing() -> str:
    """Why the tests cannot run; empty if they can."""
    if not shutil.which("npm"):
        return "npm is not installed"
    return "" if (folder() / STAMP).is_file() else "not installed: make client-tools"


def command(name: str) -> str:
    """The path of a command of the environment, such as `schemathesis` or `python`."""
    return str(folder() / "python" / "bin" / name)


def modules() -> Path:
    """The folder `node_modules` with openapi-typescript, openapi-fetch and TypeScript."""
    return folder() / "typescript" / "node_modules"


def build() -> None:
    """Install all of it, unless that has been done. Raises CalledProcessError."""
    target = folder()
    if (target / STAMP).is_file():
        return
    print(f"installing generators of clients into {target}", flush=True)
    uv = [sys.executable, "-m", "scripts.uv"]
    place = target / "python"
    make = [*uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(place)]
    install = [*uv, "pip", "sync", "--quiet", "--python", command("python"), "--require-hashes"]
    for step in (make, [*install, str(LOCK)]):
        subprocess.run(step, cwd=ROOT, check=True)
    packages = target / "typescript"
    packages.mkdir(exist_ok=True)
    for name in PACKAGES:
        shutil.copy(PINNED / name, packages)
    subprocess.run(
        ["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=packages,
        check=True,
    )
    (target / STAMP).touch()


def _digest() -> str:
    files = [LOCK, *(PINNED / name for name in PACKAGES)]
    content = b"".join(file.read_bytes() for file in files)
    return hashlib.sha256(content + sys.version.encode()).hexdigest()


if __name__ == "__main__":
    build()
