"""Finds what predicts in a trainable model: its class's `predict`, or that of what was fitted."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modelsync.errors import InvalidField, ModelBroken, VariablesInvalid
from modelsync.models import results
from modelsync.models.artefacts.format import LoadedArtefact
from modelsync.models.binding.batching import Batch
from modelsync.models.binding.calls import Calls
from modelsync.models.binding.typehints import Schema
from modelsync.models.convention import FILE, METHOD, PREDICT
from modelsync.models.tables import alignment, answers, frames, schema
from modelsync.models.tables.table import Table
from modelsync.models.training import missing, signatures
from modelsync.models.training.restoring import model_of
from modelsync.models.types import Fault
from modelsync.models.versions import TableSchema

_SPECIAL = ("category", "datetime64")
"""Types of columns that estimators do not tell: only the version's schema has them."""


@dataclass(frozen=True, slots=True)
class Predict:
    """A method that predicts rows: `call` takes what `wanted` says of the columns of `inputs`.

    `probabilities` gives those of a classifier, whose labels are `labels`; None without.
    """

    call: Callable[[Any], Any]
    inputs: TableSchema | None
    wanted: frames.Wanted
    probabilities: Callable[[Any], Any] | None = None
    labels: list[Any] | None = None

    def rows(self, table: Table) -> tuple[Any, int]:
        """Return what the method takes for a table, and how many rows that are.

        Raises VariablesInvalid.
        """
        columns = alignment.align(table, self.inputs)
        kinds = self.inputs.columns if self.inputs else ()
        if not kinds:
            found = Table(columns, named=table.named)
            kinds = schema.columns_of(found, "x")
        wanted = self.wanted if self.inputs or not table.named else "frame"
        count = len(next(iter(columns.values())))
        return frames.build(columns, kinds, wanted), count

    def explain(self, table: Table, error: Exception) -> None:
        """Raise VariablesInvalid if a call has failed for the missing values of a table."""
        kinds = {one.name: one for one in self.inputs.columns} if self.inputs else {}
        columns = alignment.align(table, self.inputs)
        missing.explain(
            {
                table.field(name): values
                for name, values in columns.items()
                if name not in kinds or not kinds[name].nullable
            },
            error,
        )


def has_own(instance: Any) -> bool:
    """Return whether a model's class has a `predict` of its own."""
    return callable(getattr(type(instance), PREDICT, None))


def is_ready(instance: Any) -> bool:
    """Return whether an instance without a stored version has a model: one that its folder holds,
    and not an estimator that waits for its `fit`.
    """
    model = model_of(instance)
    if not _is_estimator(model):
        return model is not None
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    try:
        check_is_fitted(model)
    except NotFittedError:
        return False
    return True


def is_async(instance: Any) -> bool:
    """Return whether a model's class has a `predict` that is awaited."""
    return has_own(instance) and inspect.iscoroutinefunction(instance.predict)


def find(instance: Any, inputs: TableSchema | None) -> Predict | None:
    """Return what predicts tables: the class's own `predict`, or that of what was fitted."""
    model = model_of(instance)
    inputs = inputs or schema.of_estimator(model)
    form = inputs.form if inputs else "array"
    if has_own(instance):
        method = signatures.read(instance, PREDICT)
        own = getattr(instance, "predict_proba", None)
        return Predict(method.method, inputs, method.wanted or form, own if callable(own) else None)
    for name in (PREDICT, "transform"):
        if callable(found := getattr(model, name, None)) and not isinstance(model, type):
            proba = getattr(model, "predict_proba", None) if name == PREDICT else None
            classes = getattr(model, "classes_", None)
            labels = (
                None if classes is None or isinstance(classes, list) else answers.listed(classes)
            )
            return Predict(found, inputs, form, proba if callable(proba) else None, labels)
    if callable(model) and not isinstance(model, type):
        return Predict(model, inputs, form)
    return None


def single(instance: Any, inputs: TableSchema | None, predict: Predict | None, place: str) -> Calls:
    """Return how a model without `transform_predict` answers `variables`: as one row.

    `place` names what was fitted, for messages. Raises ModelBroken if it cannot predict.
    """
    model = model_of(instance)
    by_estimator = predict is not None and not has_own(instance) and _is_estimator(model)
    if by_estimator and not _is_special(inputs):
        from modelsync.models.artefacts import estimators

        return _of_artefact(estimators.adapt(model, place, inputs))
    if predict is None:
        message = f"the fitted object is a {type(model).__name__}, which has no predict"
        hint = f"give the class predict(self, x), or {METHOD}(self, variables)"
        raise ModelBroken(Fault("load", message, FILE, hint=hint))
    return Calls(lambda variables: _one_row(predict, variables), _schema_of(predict.inputs))


def _of_artefact(artefact: LoadedArtefact) -> Calls:
    batch: Batch = artefact.batch
    names = artefact.features.names

    def call(rows: list[Any]) -> list[Any]:
        try:
            return batch.call(rows)
        except Exception as error:
            if len(rows) == 1 and isinstance(rows[0], list | tuple):
                # The refusal of an artefact does not name the column.
                cause = error.__cause__ if isinstance(error.__cause__, ValueError) else error
                missing.explain(dict(zip(names, zip(rows[0]), strict=False)), cause)
            raise

    explaining = Batch(batch.row, call, batch.schema)
    return Calls(explaining.one, batch.schema, batch.row, call)


def _is_estimator(model: Any) -> bool:
    """Return whether it is an estimator as scikit-learn defines them, which can be adapted."""
    base = getattr(sys.modules.get("sklearn.base"), "BaseEstimator", None)
    return base is not None and isinstance(model, base)


def _is_special(inputs: TableSchema | None) -> bool:
    columns = inputs.columns if inputs else ()
    return any(column.dtype.startswith(_SPECIAL) for column in columns)


def _one_row(predict: Predict, variables: dict[str, Any]) -> Any:
    """Answer `variables` by predicting one row; `x` alone is the list of its values."""
    table = _row(variables, predict.inputs)
    x, _ = predict.rows(table)
    try:
        found = predict.call(x)
    except Exception as error:
        predict.explain(table, error)
        raise
    if inspect.isawaitable(found):
        return _awaited(found)
    answer = {"prediction": _first(found)}
    if predict.probabilities and predict.labels:
        keys = map(results.as_key, predict.labels)
        answer["probabilities"] = dict(zip(keys, _first(predict.probabilities(x)), strict=False))
    return answer


async def _awaited(found: Any) -> dict[str, Any]:
    return {"prediction": _first(await found)}


def _first(predicted: Any) -> Any:
    values = answers.values_of(predicted, 1)
    if isinstance(values, dict):
        return {name: column[0] for name, column in values.items()}
    return values[0]


def _row(variables: dict[str, Any], inputs: TableSchema | None) -> Table:
    x = variables.get("x")
    if isinstance(x, list) and not (inputs and inputs.form == "frame"):
        return Table({"0": x}, named=False, flat=True)
    for name, value in variables.items():
        if isinstance(value, list | dict):
            raise VariablesInvalid([InvalidField(name, "is no single value")])
    table = Table({name: [value] for name, value in variables.items()}, named=True)
    table.form = "variables"
    return table


_JSON_TYPES = (("int", "integer"), ("uint", "integer"), ("float", "number"), ("bool", "boolean"))


def _schema_of(inputs: TableSchema | None) -> Schema | None:
    """Return the JSON schema of `variables` for one row."""
    if inputs is None or not inputs.columns:
        return None
    if inputs.form != "frame":
        count = len(inputs.columns)
        kinds = [_property(column.dtype) for column in inputs.columns]
        item = kinds[0] if all(one == kinds[0] for one in kinds) else {}
        values = {"type": "array", "items": item, "minItems": count, "maxItems": count}
        return {"type": "object", "properties": {"x": values}, "required": ["x"]}
    properties = {column.name: _property(column.dtype) for column in inputs.columns}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _property(dtype: str) -> dict[str, Any]:
    if dtype == schema.TEXT:
        return {"type": "string"}
    if dtype.startswith("datetime64"):
        return {"type": "string", "format": "date-time"}
    found = next((kind for start, kind in _JSON_TYPES if dtype.startswith(start)), None)
    return {"type": found} if found else {}
