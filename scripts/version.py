"""The version, which `modelsync/__init__.py` sets, in every file that repeats it.

`make generated` writes it there; `make check` finds a file that has another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from modelsync import __version__

ROOT = Path(__file__).parents[1]
PLACES = {
    "pyproject.toml": r'^version = "(.*?)"',
    "Dockerfile": r"^ARG VERSION=(\S*)",
    "helm/modelsync/Chart.yaml": r'^appVersion: "(.*?)"',
    "k8s/kustomization.yaml": r'^ *newTag: "(.*?)"',
}


def stamped(version: str = __version__, root: Path = ROOT) -> Iterator[tuple[Path, str]]:
    """Yield every file that repeats the version, and its content with that version.

    Raises ValueError if a file has no line for it.
    """
    for name, pattern in PLACES.items():
        text = (root / name).read_text("utf-8")
        found = re.search(pattern, text, re.MULTILINE)
        if found is None:
            raise ValueError(f"{name} has no line that matches {pattern}")
        yield root / name, text[: found.start(1)] + version + text[found.end(1) :]
