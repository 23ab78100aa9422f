"""Ready-made artefacts: what one tells of itself, and its file for download."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Response, send_file

from modelsync.inference.serving import Service
from modelsync.models.types import LoadedModel, ModelEntry, ModelName


def facts(service: Service, entry: ModelEntry, loaded: LoadedModel | None) -> dict[str, Any]:
    """What an artefact tells of itself; empty for a model that is code, or that is not loaded.

    `args`: the names of the features that it expects, in order; `model`: its type; `steps`: the
    names of the steps of a pipeline; `uploaded`: when its file came to this machine.
    """
    if loaded is None or loaded.artefact is None:
        return {}
    uploaded = datetime.fromtimestamp(_file(service, entry).stat().st_mtime, UTC)
    return {
        "args": list(loaded.artefact.features),
        "model": loaded.artefact.kind,
        "steps": list(loaded.artefact.steps),
        "uploaded": uploaded.isoformat(timespec="seconds"),
    }


def download(service: Service, name: str) -> Response | None:
    """The file of a model that is an artefact, as it is in its folder; None if the model is code.

    Its SHA-256 is in `Repr-Digest` (RFC 9530), so that a client can compare what it has got. Raises
    ModelUnavailable.
    """
    entry = service.entries.get(ModelName(name))
    if entry is None or not entry.spec.artefact:
        return None
    service.dataplane.model(name)  # raises where it does not serve
    file = _file(service, entry)
    response = send_file(file, "application/octet-stream", as_attachment=True)
    response.headers["Repr-Digest"] = f"sha-256=:{_digest(file)}:"
    return response


@lru_cache(maxsize=1000)
def _digest(file: Path) -> str:
    """The SHA-256 of a file in base64; no file of a release ever changes."""
    with file.open("rb") as content:
        return base64.b64encode(hashlib.file_digest(content, "sha256").digest()).decode()


def _file(service: Service, entry: ModelEntry) -> Path:
    assert service.release
    return (service.release.path / entry.folder / entry.spec.artefact).absolute()
