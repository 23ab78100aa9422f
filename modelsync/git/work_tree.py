"""What git says of the files in a work tree. Nothing is written there, and no hook runs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

TIMEOUT = 20.0
"""Seconds for one look at a work tree."""

_COMMAND = (
    "git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "safe.directory=*",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class IgnoredFile:
    """A file that git ignores, relative to the work tree, and the rule: `.gitignore:3: *.pkl`."""

    path: str
    rule: str


def ignored_files(top: Path, paths: Iterable[str]) -> list[IgnoredFile]:
    """Return the files among the paths, and below those that are folders, that git ignores.

    Sorted by path. Empty if git is not installed or cannot tell.
    """
    listed = _run(
        top, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--", *paths
    )
    found = sorted(filter(None, listed.split("\0")))
    rules = _run(top, "check-ignore", "-z", "-v", "--stdin", given="\0".join(found))
    return list(_parsed(rules)) if found else []


def kept_files(top: Path, path: str) -> list[str]:
    """Return the files below a path that are in the repository, or will be once they are added.

    Empty if git is not installed or cannot tell.
    """
    listed = _run(top, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", path)
    return sorted(filter(None, listed.split("\0")))


def _parsed(rules: str) -> Iterator[IgnoredFile]:
    """Yield what `check-ignore -v -z` tells: source, line, pattern and path of each file."""
    fields = rules.split("\0")
    for source, line, pattern, path in zip(*(fields[at::4] for at in range(4)), strict=False):
        yield IgnoredFile(path, f"{source}:{line}: {pattern}")


def _run(top: Path, *arguments: str, given: str = "") -> str:
    """Return what git prints in a work tree; nothing if it cannot be run."""
    environ = {**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):  # of a hook that runs the check
        environ.pop(name, None)
    try:
        done = subprocess.run(
            [*_COMMAND, *arguments],
            cwd=top,
            env=environ,
            input=os.fsencode(given),
            capture_output=True,
            timeout=TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return os.fsdecode(done.stdout)
