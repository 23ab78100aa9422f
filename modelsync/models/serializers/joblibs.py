"""joblib: objects of importable libraries; large arrays stay in the file, shared by all workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelsync.models.serializers.serializer import Owner, Serializer
from modelsync.models.serializers.survey import survey

MAPPED_FROM = 8 * 1024**2
"""Bytes of a file from which its arrays are mapped: each operation on a mapped array takes longer,
and a small model is not worth that.
"""


def _refuses(obj: Any, owner: Owner) -> str:
    found = survey(obj)
    if found.unpicklable:
        return f"it cannot be pickled: {found.unpicklable}"
    if not found.is_importable:
        return "it has classes or functions of the model's folder, which others cannot import"
    return ""


def _dump(obj: Any, path: Path, owner: Owner) -> None:
    import joblib

    joblib.dump(obj, path, compress=0, protocol=5)


def _load(path: Path, owner: Owner, mapped: bool) -> Any:
    import joblib

    large = path.stat().st_size >= MAPPED_FROM
    return joblib.load(path, mmap_mode="r" if mapped and large else None)


SERIALIZER = Serializer("joblib", ".joblib", {"joblib": "joblib"}, _refuses, _dump, _load)
