"""Figure 13: 1 GB in 20 Git LFS objects is fetched with at most 100 MB of memory, and a second sync
fetches nothing.

The update is the process that a service starts for a sync; the LFS server is giftless, to which
git-lfs has uploaded.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path

from bench.reporting import Figure, Line, progress
from tests.fixtures.git import GitServer
from tests.fixtures.lfs import USER, LfsServer, missing

OBJECTS = 20
SIZE = 50_000_000
"""Bytes of each."""

MEMORY = 100.0
"""MB of the update."""

CODE = """
from pathlib import Path

class Model:
    def transform_predict(self):
        return {"size": (Path(__file__).parent / "weights.bin").stat().st_size}
"""


def measure(folder: Path) -> Figure:
    """Sync twice, and once more after a change of one object."""
    if lacking := missing():
        raise SystemExit(lacking)
    with GitServer(folder / "repository.git") as server, LfsServer(folder / "lfs") as lfs:
        progress("uploading 1 GB")
        server.push({"README.md": "models"})
        files: dict[str, bytes | None] = {}
        for number in range(OBJECTS):
            files[f"Model{number}/etls.py"] = CODE.encode()
            files[f"Model{number}/weights.bin"] = random.Random(number).randbytes(SIZE)
        lfs.push(server, files)
        files.clear()
        environ = {
            **os.environ,
            "gitPath": server.url,
            "usergit": USER,
            "gitpassword": lfs.token(seconds=3600),
            "MODELSYNC_GIT_LFS_URL": lfs.url,
            "MODELSYNC_GIT_PROTOCOLS": "http",
            "MODELSYNC_HOME": str(folder / "home"),
            "MODELSYNC_SYNC_TIMEOUT": "10m",
        }
        progress("first sync")
        first, peak, fetched = _update(environ, lfs)
        progress("second sync")
        server.push({"Model0/README.md": "a new commit with the same objects"})
        second, again, fetched_again = _update(environ, lfs)
        progress("third sync, of one changed object")
        lfs.push(server, {"Model0/weights.bin": random.Random("new").randbytes(SIZE)})
        third, _, changed = _update(environ, lfs)
    return Figure(
        "13. Models with large files in Git LFS",
        "large_files",
        [
            Line("memory of the update, at most", max(peak, again), "MB", MEMORY, (peak, again)),
            Line("requests of the second sync", fetched_again, "requests", 0, of=fetched),
            Line("requests after a change of one object", changed, "requests", 2),
            Line("first sync", first, "s"),
            Line("second sync", second, "s"),
            Line("after a change of one object", third, "s"),
        ],
        [
            f"{OBJECTS} models with an object of {SIZE / 1e6:.0f} MB each; the times include the "
            "check of the models, whose processes do not count for the memory.",
            "Each sync copies all objects into its release and verifies their SHA-256.",
        ],
    )


def _update(environ: dict[str, str], lfs: LfsServer) -> tuple[float, float, int]:
    """Run an update; its seconds, the MB that it had at most, its requests to the LFS server."""
    before, started = len(lfs.requests()), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "bench.large_files"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    peak = int(done.stdout.split()[-1])
    return time.monotonic() - started, peak / 1000, len(lfs.requests()) - before


def main() -> int:
    """Update once as a service does, and tell the memory of this process alone, in kB."""
    from modelsync.sync import update

    code = update.main([])
    # getrusage(2) would count the process that started this one.
    [peak] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    sys.stdout.write(f"\n{int(peak) * 1.024:.0f}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
