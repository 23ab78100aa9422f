"""ONNX graphs: a model answers as what the graph was made from."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn import compose, linear_model, pipeline
from sklearn import preprocessing as pre

from modelsync.errors import ModelBroken, VariablesInvalid
from tests.models.code import bind
from tests.models.conftest import Put
from tests.models.fitted import FRAME, LABELS, MIXED, NUMBERS, expected, together


def graph(fitted: Any, features: str = "", **options: Any) -> bytes:
    made = to_onnx(fitted, FRAME.to_numpy()[:1].astype(np.float32), **options)
    if features:
        onnx.helper.set_model_props(made, {"features": features})
    return bytes(made.SerializeToString())


@pytest.mark.parametrize("features", ["", "a, b, c d", '["a", "b", "c d"]'])
def test_onnx_with_one_table(put: Put, features: str) -> None:
    """Variables are the metadata's names, else `x`; the label comes with its probabilities."""
    fitted = pipeline.make_pipeline(pre.StandardScaler(), linear_model.LogisticRegression())
    fitted.fit(FRAME.to_numpy(), LABELS)
    model = put(graph(fitted, features), "model.onnx")
    given: list[dict[str, Any]] = [{"x": [0.5, 1, -0.25]}, {"x": [1, -2, 3]}]
    if features:
        given = [dict(zip(["a", "b", "c d"], one["x"], strict=True)) for one in given]
    answers = together(model, *given)
    for answer, right in zip(
        answers, expected(fitted, np.array([[0.5, 1, -0.25], [1, -2, 3]])), strict=True
    ):
        assert answer["prediction"] == right["prediction"]
        assert answer["probabilities"] == pytest.approx(right["probabilities"].expected, rel=1e-4)
    with pytest.raises(VariablesInvalid):
        bind(model, {"x": [1, 2]})


def test_onnx_with_an_input_a_column(put: Put) -> None:
    """Variables are the names of the inputs, numbers and texts."""
    columns = compose.make_column_transformer(
        (pre.StandardScaler(), ["a"]), (pre.OneHotEncoder(), ["kind"])
    )
    columns.set_params(sparse_threshold=0)
    fitted = pipeline.make_pipeline(columns, linear_model.LogisticRegression()).fit(
        MIXED[["a", "kind"]], LABELS
    )
    types = [("a", FloatTensorType([None, 1])), ("kind", StringTensorType([None, 1]))]
    model = put(to_onnx(fitted, initial_types=types).SerializeToString(), "model.onnx")
    rows = [{"a": 2, "kind": "big"}, {"a": -1.5, "kind": "small"}]
    labels = fitted.predict(pd.DataFrame(rows)).tolist()
    assert [answer["prediction"] for answer in together(model, *rows)] == labels
    with pytest.raises(VariablesInvalid, match="kind"):
        bind(model, {"a": 1, "kind": 2})


def test_onnx_regression(put: Put) -> None:
    """One output of one column is answered as a number."""
    fitted = linear_model.LinearRegression().fit(FRAME.to_numpy(), NUMBERS)
    answers = together(put(graph(fitted), "model.onnx"), {"x": [0.5, 0, 0]}, {"x": [1, 0, 0]})
    assert answers == [
        {"prediction": pytest.approx(2, abs=1e-5)},
        {"prediction": pytest.approx(3, abs=1e-5)},
    ]


def of_shape(shape: list[Any], outputs: int = 1, kind: int = TensorProto.FLOAT) -> bytes:
    """A graph that returns its input, under one or several names."""
    names = [f"out{place}" for place in range(outputs)]
    nodes = [helper.make_node("Identity", ["picture"], [name]) for name in names]
    ends = [helper.make_tensor_value_info(name, kind, shape) for name in names]
    made = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("picture", kind, shape)], ends
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def test_onnx_of_any_shape(put: Put) -> None:
    """Inputs are nested lists of their shape, and outputs are answered by their names."""
    model = put(of_shape(["n", 2, 2], outputs=2), "model.onnx")
    one, two = [[1, 2], [3, 4]], [[5, 6], [7, 8]]
    assert together(model, {"picture": one}, {"picture": two}) == [
        {"out0": x, "out1": x} for x in (one, two)
    ]
    with pytest.raises(VariablesInvalid, match="picture"):
        bind(model, {"picture": [[1, 2, 3], [4, 5, 6]]})


def test_onnx_for_one_row_only(put: Put) -> None:
    """A graph whose first dimension is fixed is called row by row."""
    model = put(of_shape([1, 3]), "model.onnx")
    assert model.call_batch is None
    assert model.call({"x": [1, 2, 3]}) == {"prediction": [1, 2, 3]}


def test_onnx_of_a_type_that_json_has_not(put: Put) -> None:
    """The fault names the type, with a hint."""
    kind = helper.make_tensor_sequence_value_info
    parts = [kind(name, TensorProto.FLOAT, ["n"]) for name in ("parts", "out")]
    made = helper.make_graph(
        [helper.make_node("Identity", ["parts"], ["out"])], "g", parts[:1], parts[1:]
    )
    content = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8
    ).SerializeToString()
    with pytest.raises(
        ModelBroken, match=r"input parts is a seq\(tensor\(float\)\), which variables cannot fill"
    ):
        put(content, "model.onnx")
