"""Whether a request suits a model, as far as that can be told before its job runs.

The job checks all of it again: where the model runs in another process little is known here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from modelsync import json_text
from modelsync.errors import DataInvalid
from modelsync.models.data_schema import DataSchema
from modelsync.models.schemas import training_data
from modelsync.models.tables import bodies
from modelsync.models.tables.table import shown
from modelsync.models.training import signatures
from modelsync.store.records import JobKind, Version
from modelsync.training.training_request import TrainingRequest


def check_method(request: TrainingRequest, kind: JobKind, instance: Any) -> None:
    """Check parameters and target against the signature of the model's method.

    `instance`: the loaded model, None if it is not loaded here. Raises DataInvalid.
    """
    if instance is None or not hasattr(instance, kind):
        return
    if kind == "train":
        signatures.parameters_of(instance, kind, request.params)
        return
    method = signatures.read(instance, kind)
    if kind == "fit":
        method.checked(request.params)
    if method.needs_y and not (request.has_y or request.target):
        raise DataInvalid(
            f"y: is missing; {kind} needs it: send a value for each row, or name a column of x as "
            "target"
        )


def with_targets(request: TrainingRequest, schema: DataSchema | None) -> TrainingRequest:
    """Return a request whose target `schema.yml` names, if it names none itself."""
    targets = {one.name for one in schema.targets} if schema else set()
    if not targets or request.has_y or request.target:
        return request
    has_y = bool(request.source) or (request.named and targets.issubset(request.columns_of_x))
    return replace(request, has_y=has_y)


def refuse_unfit(content: bytes, schema: DataSchema | None) -> None:
    """Raise DataInvalid for data, as JSON, that is not of the columns and types of its schema."""
    if content and schema:
        training_data.conform(bodies.training(json_text.loads(content)), schema)


def check_columns(request: TrainingRequest, parent: Version) -> None:
    """Check the columns of x against those of the version that is updated. Raises DataInvalid."""
    inputs: Mapping[str, Any] = parent.made.inputs or {}
    fitted = [column["name"] for column in inputs.get("columns", ())]
    if not fitted or not request.columns_of_x:
        return
    if not request.named:
        if len(request.columns_of_x) != len(fitted):
            raise DataInvalid(
                f"x: its rows have {len(request.columns_of_x)} values; version {parent.number} was "
                f"fitted with {len(fitted)} columns: {shown(fitted)}"
            )
    elif inputs["form"] == "frame" and (
        missing := [name for name in fitted if name not in request.columns_of_x]
    ):
        raise DataInvalid(
            f"x: lacks the columns {shown(missing)}, with which version {parent.number} was "
            f"fitted; it has {shown(request.columns_of_x)}"
        )
