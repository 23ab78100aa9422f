"""Evaluates a model with rows whose target is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelsync import json_text
from modelsync.models import results
from modelsync.models.statistics import prediction_kind
from modelsync.models.tables import answers
from modelsync.models.tables.table import Table
from modelsync.models.training import estimates
from modelsync.models.training.data import Data
from modelsync.models.training.restoring import model_of
from modelsync.models.training.trainable import Trainable


class Evaluator:
    """Predicts and scores with what is fitted in a model. All raise what the model's code raises.

    `x` and `y` are a DataFrame and a Series, or arrays.
    """

    def __init__(self, trainable: Trainable) -> None:
        self._trainable = trainable
        self._instance = trainable.model.instance

    def measured(self, x: Any, y: Any) -> dict[str, Any] | None:
        """Return what the class's `metrics` says of some rows; None without such a method."""
        return self._trainable.measure(Data.of(x, y, self._trainable.inputs))

    def predicted(self, table: Table) -> list[Any]:
        """Return a prediction for each row, as JSON: by what is fitted, else by the class's
        `transform_predict`.
        """
        run = self._trainable.run
        predict = estimates.find(self._instance, self._trainable.inputs)
        if predict is not None:
            x, count = predict.rows(table)
            found: Any = answers.values_of(run(lambda: predict.call(x)), count)
        else:
            self._trainable.bind()
            call = self._trainable.model.call
            rows = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
            found = run(lambda: [call(row) for row in rows])
        plain: Any = json_text.loads(results.dump({"y": found}))["y"]
        if isinstance(plain, dict):  # several outputs, as columns
            return [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]
        return list(plain)

    def classifies(self, truth: Sequence[Any]) -> bool:
        """Return whether predictions are classes: the fitted object tells, else the target does, if
        it has two values, or one that is no number.
        """
        told = prediction_kind.classifies(model_of(self._instance))
        if told is not None:
            return told
        numbers = (isinstance(one, int | float) and not isinstance(one, bool) for one in truth)
        return not all(numbers) or len(set(truth)) == 2

    def scored(self, name: str, x: Any, y: Any) -> dict[str, float]:
        """Return the metric that scikit-learn's scorer of that name gives what is fitted; nothing
        if there is no such scorer, or it does not suit.
        """
        try:
            from sklearn.metrics import get_scorer

            return {name: float(get_scorer(name)(model_of(self._instance), x, y))}
        except Exception:  # noqa: BLE001  whatever a scorer or an estimator raises
            return {}
