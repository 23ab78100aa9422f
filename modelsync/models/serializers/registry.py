"""The registry of the formats of stored models. A new one is a module beside this one and a line in
`SERIALIZERS`.

| name | takes | arrays are shared by the workers |
|---|---|---|
| `joblib` | objects of importable libraries | yes, in files of 8 MiB and more |
| `cloudpickle` | any object, also of classes in the model's folder | no |
| `skops` | estimators of types that skops trusts; cannot run code | no |
| `onnx` | what skl2onnx converts; cannot run code | no |
| `own` | what the class's `dump(self, file)` and `load(self, file)` write and read | no |
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from modelsync.errors import ArtifactCorrupt, JobFailed, ModelBroken
from modelsync.models.serializers import (
    cloudpickles,
    joblibs,
    libraries,
    onnx_files,
    own,
    skops_files,
)
from modelsync.models.serializers.serializer import Owner, Serializer
from modelsync.models.serializers.survey import survey
from modelsync.models.types import Fault
from modelsync.models.versions import FittedVersion, Mismatch

SERIALIZERS: Mapping[str, Serializer] = {
    one.name: one
    for one in (
        cloudpickles.SERIALIZER,
        joblibs.SERIALIZER,
        skops_files.SERIALIZER,
        onnx_files.SERIALIZER,
        own.SERIALIZER,
    )
}

AUTO = "auto"


def choose(obj: Any, wanted: str, owner: Owner) -> Serializer:
    """Return the format for an object: the one that is `wanted`, or for `auto` one that suits.

    Raises JobFailed of stage `serialise`, which says what can hold it, if the format cannot.
    """
    found = named(wanted) or named(_automatic(obj, owner))
    assert found
    if reason := found.refuses(obj, owner):
        others = [
            one.name
            for one in SERIALIZERS.values()
            if one is not found and not _missing(one) and not one.refuses(obj, owner)
        ]
        can = f"; {' or '.join(others)} can" if others else ""
        raise _failed(f"{found.name} cannot store the fitted {type(obj).__name__}: {reason}{can}")
    return found


def named(wanted: str) -> Serializer | None:
    """Return the format of this name, None for `auto`.

    Raises JobFailed of stage `serialise` if there is none, or if it lacks a library.
    """
    if wanted in ("", AUTO):
        return None
    if wanted not in SERIALIZERS:
        known = ", ".join([AUTO, *SERIALIZERS])
        raise _failed(f"there is no serializer {wanted[:60]!r}; there are {known}")
    found = SERIALIZERS[wanted]
    if missing := _missing(found):
        raise _failed(f"{wanted} needs {missing}: add it to the model's requirements.txt")
    return found


def _automatic(obj: Any, owner: Owner) -> str:
    if own.has_own(owner.instance):
        return own.SERIALIZER.name
    found = survey(obj)
    if found.is_importable and "numpy" in found.libraries and not _missing(joblibs.SERIALIZER):
        return joblibs.SERIALIZER.name
    return cloudpickles.SERIALIZER.name


def _missing(serializer: Serializer) -> str:
    """Return which distributions a format lacks in this process."""
    return " and ".join(
        name for module, name in serializer.needs.items() if find_spec(module) is None
    )


def _failed(message: str) -> JobFailed:
    return JobFailed("serialise", "", message)


def dump(serializer: Serializer, obj: Any, file: Path, owner: Owner) -> dict[str, str]:
    """Write an object to a file; return the versions of the libraries that it needs.

    Raises JobFailed of stage `serialise`, which says what cannot be written.
    """
    try:
        serializer.dump(obj, file, owner)
    except Exception as error:
        message = " ".join(str(error).split())[:500]
        raise JobFailed(
            "serialise",
            type(error).__name__,
            f"{serializer.name} cannot store the fitted {type(obj).__name__}: {message}"
            f"{_at(obj, owner)}; leave that out, or give the model's class its own "
            "dump(self, file) and load(self, file)",
        ) from error
    return libraries.of(obj, serializer.needs)


def _at(obj: Any, owner: Owner) -> str:
    """Return which attribute of the model itself cannot be stored, for a message."""
    if type(obj) is not type(owner.instance) or owner.instance is None:
        return ""
    bad = [name for name, value in vars(obj).items() if survey(value).unpicklable]
    shown = ", ".join(f"self.{name}" for name in bad)
    return f" ({shown}); return the fitted object from fit, not self" if bad else ""


# --- loading --------------------------------------------------------------------------------------


def load(
    fitted: FittedVersion, owner: Owner, *, mapped: bool = True, mismatch: Mismatch = "warn"
) -> Any:
    """Return the object of a stored version; `mapped` as for `Serializer.load`.

    The file's SHA-256 is compared before anything is deserialised. Raises ArtifactCorrupt,
    VersionRefused, ModelBroken, and what the format's library raises.
    """
    verify(fitted)
    libraries.compare(fitted, mismatch)
    serializer = SERIALIZERS.get(fitted.serializer)
    if serializer is None:
        known = ", ".join(SERIALIZERS)
        message = f"version {fitted.number} is stored as {fitted.serializer!r}; known are {known}"
        raise ModelBroken(Fault("load", message))
    return serializer.load(fitted.file, owner, mapped)


def verify(fitted: FittedVersion) -> None:
    """Compare the SHA-256 of a version's file. Raises ArtifactCorrupt."""
    try:
        with fitted.file.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        message = f"the artefact of version {fitted.number} cannot be read: {error.strerror}"
        raise ArtifactCorrupt(message) from None
    if found != fitted.sha256:
        raise ArtifactCorrupt(
            f"the artefact of version {fitted.number} is not what was stored: its SHA-256 is "
            f"{found[:12]}…, not {fitted.sha256[:12]}…"
        )
