"""Checks a release: `python -m scripts.release_check [TAG]`, see docs/releasing.md.

The tag (by default the one of this commit, if it has one), modelsync's version, the files that
repeat it and the newest entry of CHANGELOG.md have to agree, and that entry needs a date.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from modelsync import __version__
from scripts.lock import stale
from scripts.version import stamped

ROOT = Path(__file__).parents[1]


def contradictions(tag: str | None, version: str = __version__, root: Path = ROOT) -> Iterator[str]:
    """Yield each contradiction to the version, one line each."""
    if tag is not None and tag != f"v{version}":
        yield f"the tag is {tag}, modelsync/__init__.py says {version}: v{version} is its tag"
    for path, text in stamped(version, root):
        if path.read_text("utf-8") != text:
            name = path.relative_to(root)
            yield f"{name} does not have the version {version}: run `make generated manifests`"
    yield from _changelog((root / "CHANGELOG.md").read_text("utf-8"), version)
    for lock in stale(root):
        yield f"{lock} is stale: run `make lock`"


def _changelog(text: str, version: str) -> Iterator[str]:
    entry = re.search(r"^## \[(.*?)\](?: - (.*))?$", text, re.MULTILINE)
    if entry is None or entry[1] != version:
        yield f"CHANGELOG.md begins with {entry[1] if entry else 'no entry'}, not with {version}"
    elif not re.fullmatch(r"\d{4}-\d\d-\d\d", entry[2] or ""):
        yield f"CHANGELOG.md has no date for {version}: `## [{version}] - YYYY-MM-DD`"


def tag_here() -> str | None:
    """Give the tag of the commit that is checked out; None if it has none."""
    done = subprocess.run(
        ["git", "describe", "--tags", "--exact-match"], cwd=ROOT, capture_output=True, text=True
    )
    return done.stdout.strip() or None


def main(arguments: list[str]) -> int:
    """Print each contradiction; exit code 1 if there is one."""
    found = list(contradictions(arguments[0] if arguments else tag_here()))
    for line in found:
        print(f"release: {line}", file=sys.stderr)
    print(f"{len(found)} contradictions" if found else f"modelsync {__version__} can be released")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
