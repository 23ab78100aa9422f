"""What a request means for a model: which kind of job, and whether it is trained as it declares."""

from __future__ import annotations

from typing import Any

from modelsync.errors import DataInvalid
from modelsync.models.types import ModelEntry
from modelsync.store.records import JobKind
from modelsync.training import plan
from modelsync.training.training_request import TrainingRequest


def kind_of(entry: ModelEntry, kind: JobKind, request: TrainingRequest) -> JobKind:
    """Return what is to be done: without data, `fit` is the model's own `train`, if it has one, or
    a fit on the source that the class declares. Raises DataInvalid.
    """
    methods = entry.spec.methods
    has_data = bool(request.data or request.source)
    if kind == "update":
        if not has_data:
            raise DataInvalid("x: is missing; an update needs x and y, or a source")
        return "update"
    if not request.data and _gives_rows(entry, request):
        return "train" if "train" in methods else "fit"
    if not has_data:
        if "train" not in methods:
            raise DataInvalid(
                f"x: is missing; {entry.name} has no method train, which would fetch its data, and "
                "declares no source"
            )
        return "train"
    if "fit" not in methods and not request.source:
        raise DataInvalid(
            f"{entry.name} has no method fit; it fetches its data itself: send no x and no y"
        )
    return "fit"


def _gives_rows(entry: ModelEntry, request: TrainingRequest) -> bool:
    """Whether the rows of a source, of the request or of the class, are given to the model."""
    if request.source:
        return entry.spec.plan.takes_rows and "fit" not in entry.spec.methods
    return bool(plan.sources_of(entry.spec))


def options_of(entry: ModelEntry, kind: JobKind, *, planned: bool) -> dict[str, Any]:
    """Return the options of a job that trains with the model's own data, if it is `planned` so:
    versions are compared then, with rows that are held out.
    """
    if not planned or kind not in ("fit", "train"):
        return {}
    return {"planned": True, "test_size": entry.spec.plan.test_size}
