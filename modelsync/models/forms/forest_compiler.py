"""Makes forms of trees and their ensembles that onnxruntime runs, with exact sums."""

from __future__ import annotations

from typing import Any

from modelsync.models.artefacts import boosting
from modelsync.models.artefacts.steps import is_known
from modelsync.models.forms import (
    encoders,
    forest_graph,
    form_columns,
    lightgbm_trees,
    sklearn_trees,
    xgboost_trees,
)
from modelsync.models.forms.compiled_model import CompiledModel
from modelsync.models.forms.compiler import OtherKind, Target
from modelsync.models.forms.forest import Forest
from modelsync.models.forms.onnx_model import OnnxForm


class ForestCompiler:
    """Reads the trees of the last estimator, before which there is nothing but an encoding."""

    name = "onnxruntime (trees)"
    is_best = True

    def compile(self, target: Target) -> CompiledModel:
        """Make a form. Raises NotCompilable."""
        encoding, steps = encoders.read(target)
        if len(steps) != 1:
            first = type(steps[0]).__name__ if steps else "nothing"
            raise OtherKind(f"{first} is no ensemble of trees")
        found = _read(steps[0], target)
        return OnnxForm(
            forest_graph.graph(found, encoding.width),
            encoding,
            form_columns.of(target),
            found.precision,
            finish=found.finish,
        )


def _read(last: Any, target: Target) -> Forest:
    """Read the trees of an estimator. Raises NotCompilable."""
    kinds = {"most_probable": "scores", "both": "both"}
    answers = kinds.get(target.output.kind, "predictions")
    if is_known(last):
        return sklearn_trees.read(last, answers)
    if boosting.is_one(last) and hasattr(last, "booster_"):
        return lightgbm_trees.read(last, answers)
    if boosting.is_one(last) and hasattr(last, "get_booster"):
        return xgboost_trees.read(last, answers)
    raise OtherKind(f"{type(last).__name__} is no ensemble of trees")
