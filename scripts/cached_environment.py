"""Environments of programs that the tests run, each in the user's cache, where it is made once."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

STAMP = ".stamp"
"""The file in an environment with the digest of what it was made from."""


@dataclass(frozen=True)
class CachedEnvironment:
    """The environment `name`, which `uv pip` makes with the arguments `install`; another `digest`
    makes it anew.
    """

    name: str
    digest: str
    install: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where it is, or will be."""
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        return cache / "modelsync" / self.name

    def python(self) -> Path | None:
        """Its Python; None if it is not installed, or not from what it is to be made from."""
        stamp = self.folder / STAMP
        current = stamp.is_file() and stamp.read_text("utf-8") == self.digest
        return self.folder / "bin" / "python" if current else None

    def build(self) -> None:
        """Install it, unless that has been done. Raises CalledProcessError."""
        if self.python():
            return
        print(f"installing {self.name} into {self.folder}", flush=True)
        (self.folder / STAMP).unlink(missing_ok=True)
        uv = [sys.executable, "-m", "scripts.uv"]
        target, interpreter = str(self.folder), str(self.folder / "bin" / "python")
        create = ["venv", "--quiet", "--allow-existing", "--python", sys.executable, target]
        action, *more = self.install
        install = ["pip", action, "--quiet", "--python", interpreter, *more]
        for arguments in (create, install):
            subprocess.run([*uv, *arguments], cwd=Path(__file__).parents[1], check=True)
        (self.folder / STAMP).write_text(self.digest, "utf-8")
