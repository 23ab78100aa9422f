"""Whether the code of a model uses `modelsync.compiled`: told by its text, none of it is run."""

from __future__ import annotations

import re
from pathlib import Path

from modelsync.models.types import ModelSpec

_IMPORT = re.compile(rb"^\s*(import|from)\s+modelsync\b", re.MULTILINE)


def uses_compiled(spec: ModelSpec) -> bool:
    """Return whether a file of a model's folder, or one that it shares, may use it."""
    folders = [folder for folder in (spec.path, spec.shared) if folder]
    return not spec.artefact and any(map(_uses, folders))


def _uses(folder: Path) -> bool:
    return any(_text_uses(file) for file in folder.rglob("*.py"))


def _text_uses(file: Path) -> bool:
    try:
        text = file.read_bytes()
    except OSError:  # a folder of that name, a link to nothing
        return False
    return b"compiled" in text and _IMPORT.search(text) is not None
