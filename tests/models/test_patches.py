"""The patches of a process that runs models."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from modelsync.models.isolation.patches import PATCHES

PROGRAM = """
import json, os, sys
from modelsync.models.isolation import guards, patches

patches.install()
patches.install()
dumps, home, finders = json.dumps, os.getcwd(), [type(one).__name__ for one in sys.meta_path]
json.dumps = None
del json.loads
os.chdir("/")
os.closerange(0, 3)
os.close(1)
sys.stdout.close()
assert (json.dumps, json.loads("1"), os.getcwd()) == (dumps, 1, "/")
guards.restore_cwd()
assert os.getcwd() == home
assert not guards.moved, "each call of a model would return to the working directory"
assert [finders.count(one) for one in ("_Packages", "_PlainNames", "NotedImports")] == [1, 1, 1]
print("still here")
"""


def test_a_process_that_runs_models_is_protected(tmp_path: Path) -> None:
    """One call installs all patches, and a second one, after the fork, changes nothing."""
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stdout) == (0, "still here\n"), found.stderr


def test_every_patch_says_what_and_why() -> None:
    """The list tells a reader all that differs from a plain interpreter."""
    assert all(patch.name and patch.reason for patch in PATCHES)
    assert len({patch.name for patch in PATCHES}) == len(PATCHES)
