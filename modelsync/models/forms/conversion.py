"""Converts fitted steps, which take an array of numbers, to an ONNX graph by skl2onnx."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

from modelsync.models.forms.compiler import NotCompilable

_TYPE = re.compile(r"type '?<class '([\w.]+)'>")

OPSETS = {"": 21, "ai.onnx.ml": 3}
"""Versions of the operators: the converters of boosters know none that is newer."""

MAX_TOLD = 200
"""Characters of a library's message that a reason quotes."""


def graph(steps: Sequence[Any], width: int, outputs: Sequence[int], *, single: bool) -> bytes:
    """Return the graph of some steps with these of its outputs, whose input has `width` numbers.

    `single`: the input has 32 bits, not 64. Raises NotCompilable, and ImportError without skl2onnx.
    """
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
    from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs
    from sklearn.pipeline import Pipeline

    _add_converters()
    kind = FloatTensorType if single else DoubleTensorType
    steps = list(map(_convertible, steps))
    pipeline = Pipeline([(f"step{place}", step) for place, step in enumerate(steps)])
    whole = pipeline if len(steps) > 1 else steps[0]
    given = [("x", kind([None, width]))]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                options = {id(steps[-1]): {"zipmap": False}}
                made = convert_sklearn(
                    whole, initial_types=given, options=options, target_opset=OPSETS
                )
            except (NameError, ValueError):  # it has no such option, since it has no probabilities
                made = convert_sklearn(whole, initial_types=given, target_opset=OPSETS)
            names = [output.name for output in made.graph.output]
            used = [names[place] for place in outputs]
            pruned = select_model_inputs_outputs(made, outputs=used)
    except Exception as error:  # converters raise whatever they stumble over
        raise NotCompilable(_told(error)) from error
    found: bytes = pruned.SerializeToString()
    return found


def _convertible(step: Any) -> Any:
    """Return a step as skl2onnx takes it; what it predicts is the same."""
    if not getattr(step, "flatten_transform", False):
        return step
    changed = copy.copy(step)
    changed.flatten_transform = False
    return changed


def _told(error: BaseException) -> str:
    """Return why skl2onnx has not converted an estimator."""
    text = " ".join(str(error).split())
    if type(error).__name__.startswith("Missing") and (match := _TYPE.search(text)):
        return f"skl2onnx cannot convert {match[1].rpartition('.')[2]}"
    return f"skl2onnx: {type(error).__name__}: {text[:MAX_TOLD]}"


@cache
def _add_converters() -> None:
    """Have skl2onnx convert the models of XGBoost and LightGBM that are installed."""
    from skl2onnx import update_registered_converter
    from skl2onnx.common.shape_calculator import (
        calculate_linear_classifier_output_shapes,
        calculate_linear_regressor_output_shapes,
    )

    of_classifiers = calculate_linear_classifier_output_shapes
    of_regressors = calculate_linear_regressor_output_shapes
    options = {"zipmap": [True, False, "columns"], "nocl": [True, False]}
    try:
        import lightgbm
        from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
    except ImportError:
        pass
    else:
        for kind, shapes in (
            (lightgbm.LGBMClassifier, of_classifiers),
            (lightgbm.LGBMRegressor, of_regressors),
        ):
            more = options if shapes is of_classifiers else {"split": None}
            update_registered_converter(
                kind, f"Light{kind.__name__}", shapes, convert_lightgbm, options=more
            )
    try:
        import xgboost
        from onnxmltools.convert.xgboost.operator_converters.XGBoost import convert_xgboost
    except ImportError:
        return
    for kind, shapes in (
        (xgboost.XGBClassifier, of_classifiers),
        (xgboost.XGBRegressor, of_regressors),
    ):
        more = options if shapes is of_classifiers else {}
        update_registered_converter(kind, kind.__name__, shapes, convert_xgboost, options=more)
