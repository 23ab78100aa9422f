"""What the names of the files in a folder say: whether it is a model, or meant to be one."""

from __future__ import annotations

import re
from collections.abc import Iterable

from modelsync.models.artefacts import registry

# Misspellings of `etls.py`: such a folder is meant to be a model, and is reported.
MISSPELT = re.compile(r"(etls?|elts?|etl_s)\.py", re.IGNORECASE)


def is_meant_as_model(files: Iterable[str]) -> bool:
    """Return whether a folder with files of these names is a model, or is meant to be one."""
    return any(MISSPELT.fullmatch(name) or registry.find(name) for name in files)
