"""Finds VersityGW, the S3 server of the tests; `python -m scripts.s3_server` (`make s3-server`)
builds it once with Go, into the user's cache.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

VERSION = "v1.8.0"


def cached() -> Path:
    """Where it is, once it has been built."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "modelsync" / f"versitygw-{VERSION}" / "versitygw"


def build() -> None:
    """Build it, unless that has been done. Raises CalledProcessError."""
    target = cached()
    if target.exists():
        return
    print(f"building VersityGW {VERSION} into {target.parent}, which takes two minutes", flush=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    source = f"github.com/versity/versitygw/cmd/versitygw@{VERSION}"
    environ = {**os.environ, "GOBIN": str(target.parent), "CGO_ENABLED": "0"}
    subprocess.run(["go", "install", "-trimpath", source], env=environ, check=True)


if __name__ == "__main__":
    build()
