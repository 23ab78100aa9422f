"""modelsync with its predict path compiled by mypyc, built of this checkout as its wheel is."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from bench.peers.environments import NotInstalled, folder, once

ROOT = Path(__file__).parents[2]


@cache
def build() -> Path:
    """The folder that holds the package; made again when a source changes. Raises NotInstalled
    without a compiler.
    """
    sources = [*sorted((ROOT / "modelsync").rglob("*.py")), ROOT / "scripts/extension_modules.py"]
    place = folder("modelsync-mypyc")
    once(place, b"".join(path.read_bytes() for path in sources), _make)
    return place


def _make(place: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="ms-mypyc-") as name:
        tree = Path(name, "tree")
        install = ["scripts.uv", "pip", "install", "--quiet", "--no-deps", "--target", str(place)]
        for command in (["scripts.extension_modules", str(tree)], [*install, str(tree)]):
            done = subprocess.run(
                [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True,
                check=False,
            )  # fmt: skip
            if done.returncode != 0:
                raise NotInstalled((done.stderr or done.stdout).strip()[-500:])
    if not list(place.glob("modelsync/server/connection.*.so")):
        raise NotInstalled("the wheel has no extension modules")
