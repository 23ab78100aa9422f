"""What a runner tells its master while it starts: which model it loads, what came of it."""

from __future__ import annotations

from contextlib import suppress
from typing import IO, Any

from modelsync import json_text
from modelsync.inference.version_loading import RefusedVersion
from modelsync.models.serialization import to_json
from modelsync.models.types import Fault, LoadedModel


def described(model: LoadedModel) -> dict[str, Any]:
    """Return what the API tells of a model, for the workers, which have not loaded it."""
    return {
        "schema": model.schema,
        "doc": model.doc,
        "is_async": model.is_async,
        "batches": model.call_batch is not None,
        "version": model.fitted.number if model.fitted else None,
        "artefact": to_json(model.artefact) if model.artefact else None,
    }


class Reports:
    """Writes one JSON object a line into a pipe; nobody may read it."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe

    def loading(self, name: str) -> None:
        """The next code that runs is this model's."""
        self._write({"loading": name})

    def failed(self, name: str, fault: Fault) -> None:
        """A model cannot be called, and why."""
        self._write({"model": name, "fault": to_json(fault)})

    def loaded(self, model: LoadedModel, refused: RefusedVersion | None) -> None:
        """A model can be called, although a version of it perhaps does not load."""
        said = [refused.version.number, refused.reason] if refused else None
        self._write({"model": model.name, **described(model), "refused": said})

    def _write(self, values: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # only the reports of the first start are read
            self._pipe.write(json_text.dump_lossy(values) + b"\n")
