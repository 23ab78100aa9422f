"""Writes a fitted object as an artefact: the file, its digest, what it takes, who wrote it."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelsync import json_text
from modelsync.errors import JobFailed
from modelsync.fitting.messages import FitJob, FitResult
from modelsync.models import results
from modelsync.models.compiled.estimator import unwrapped
from modelsync.models.serializers import registry
from modelsync.models.serializers.serializer import Owner
from modelsync.models.training.trainable import Fitted
from modelsync.models.versions import FittedVersion


@dataclass(frozen=True, slots=True)
class Saver:
    """Writes the fitted objects of one job into its output folder.

    `wanted`: the format that the model or the settings ask for.
    """

    job: FitJob
    owner: Owner
    wanted: str

    def save(self, fitted: Fitted, name: str) -> FitResult:
        """Write an object to a file of this name, with the suffix of its format.

        Raises JobFailed of stage `serialise` if the format cannot hold it.
        """
        owner = replace(self.owner, inputs=fitted.inputs)
        model = unwrapped(fitted.model)
        serializer = registry.choose(model, self.wanted, owner)
        file = self.job.output / f"{name}{serializer.suffix}"
        libraries = registry.dump(serializer, model, file, owner)
        return FitResult(
            serializer.name,
            file.name,
            digest(file),
            file.stat().st_size,
            fitted.inputs,
            numbers(fitted.metrics),
            libraries,
        )


def version(job: FitJob, made: FitResult, file: Path) -> FittedVersion:
    """Return an artefact of this job as a version that can be loaded; it has no number yet."""
    return FittedVersion(
        job.spec.name, 0, "", made.serializer, made.sha256, made.size, file, made.inputs,
        made.libraries,
    )  # fmt: skip


def digest(file: Path) -> str:
    """Flush a file to the disk, and return its SHA-256 in hex."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        return hashlib.file_digest(opened, "sha256").hexdigest()


def numbers(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's metrics as JSON has them: numpy's numbers as numbers, NaN as None.

    Raises JobFailed if one is of another type.
    """
    try:
        found: dict[str, Any] = json_text.loads(results.dump(dict(metrics)))
    except Exception as error:
        said = "metrics: expected numbers by name"
        raise JobFailed("fit", "TypeError", f"{said}, came {_kinds(metrics)}") from error
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in found.items()
    }


def _kinds(metrics: object) -> str:
    if isinstance(metrics, Mapping):
        return ", ".join(f"{name}: {type(value).__name__}" for name, value in metrics.items())
    return f"a {type(metrics).__name__}"
