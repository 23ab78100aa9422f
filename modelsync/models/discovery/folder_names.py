"""What the names of the files in a folder say: whether it is a model, or meant to be one."""

from __future__ import annotations

import re
from collections.abc import Iterable

from modelsync.models.artefacts import pickles, registry
from modelsync.models.convention import FILE

# Misspellings of `etls.py`: such a folder is meant to be a model, and is reported.
_MISSPELT = re.compile(r"(etls?|elts?|etl_s)\.py", re.IGNORECASE)

_TELLING = re.compile(r".*(model|pipe|clf|classif|regress|estimator|predict)", re.IGNORECASE)


def misspelt(files: Iterable[str]) -> str:
    """Return the file that is meant as `etls.py`; empty if there is none, or that file itself."""
    names = list(files)
    return "" if FILE in names else next(filter(_MISSPELT.fullmatch, names), "")


def is_telling(file: str) -> bool:
    """Return whether a file is meant as a model by its name, whatever it holds: a pickle may also
    hold data.
    """
    artefact_format = registry.by_name(file)
    if artefact_format is pickles.FORMAT:
        return bool(_TELLING.match(file)) or file.lower().endswith(".joblib")
    return artefact_format is not None


def is_meant_as_model(files: Iterable[str]) -> bool:
    """Return whether a folder with files of these names is a model, or is meant to be one."""
    return any(_MISSPELT.fullmatch(name) or is_telling(name) for name in files)


def shown(name: str) -> str:
    """Return a file's name as text that JSON can hold, bytes that are not UTF-8 as escapes."""
    return name.encode("utf-8", "backslashreplace").decode()
