"""Artefacts that scikit-learn or skops wrote: a model answers as the estimator itself does."""

from __future__ import annotations

import logging
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn import (
    cluster,
    compose,
    ensemble,
    impute,
    linear_model,
    model_selection,
    naive_bayes,
    pipeline,
)
from sklearn import preprocessing as pre
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.multioutput import MultiOutputClassifier
from sklearn.svm import SVC

from modelsync.errors import ModelBroken, VariablesInvalid
from tests.models.code import bind, broken, fault_of, schema_of
from tests.models.conftest import Load, Put, Write
from tests.models.fitted import FRAME, LABELS, MIXED, NUMBERS, VARIABLES, expected, together

# --- what goes in ---------------------------------------------------------------------------------

CLASSIFIERS = {
    "linear": linear_model.LogisticRegression(),
    "pipeline": pipeline.make_pipeline(
        pre.StandardScaler(), "passthrough", linear_model.LogisticRegression()
    ),
    "nested": pipeline.make_pipeline(
        pipeline.make_pipeline(pre.StandardScaler(), pre.MinMaxScaler()), naive_bayes.GaussianNB()
    ),
    "forest": ensemble.RandomForestClassifier(5, random_state=0, n_jobs=-1),
    "boosting": ensemble.HistGradientBoostingClassifier(max_iter=3),
    "vote": ensemble.VotingClassifier(
        [("a", linear_model.LogisticRegression()), ("b", naive_bayes.GaussianNB())], voting="soft"
    ),
    "calibrated": CalibratedClassifierCV(linear_model.LogisticRegression()),
    "search": model_selection.GridSearchCV(
        linear_model.LogisticRegression(), {"C": [0.1, 1.0]}, cv=2
    ),
    "union": pipeline.make_pipeline(
        pipeline.make_union(pre.StandardScaler(), pre.MinMaxScaler()),
        linear_model.LogisticRegression(),
    ),
    "frames": pipeline.make_pipeline(
        pre.StandardScaler().set_output(transform="pandas"), linear_model.LogisticRegression()
    ),
    "columns": pipeline.make_pipeline(
        compose.make_column_transformer(
            (pre.StandardScaler(), ["b", "a"]), ("passthrough", ["c d"])
        ),
        linear_model.LogisticRegression(),
    ),
}

STEPS = {
    "pipeline": "StandardScaler, LogisticRegression",
    "nested": "StandardScaler, MinMaxScaler, GaussianNB",
    "search": "LogisticRegression",
    "union": "FeatureUnion, LogisticRegression",
    "frames": "StandardScaler, LogisticRegression",
    "columns": "ColumnTransformer, LogisticRegression",
}
"""The estimators that the documentation of a model names, where it is not the one alone."""


@pytest.mark.parametrize("kind", CLASSIFIERS)
def test_the_names_it_was_fitted_with_are_its_variables(put: Put, kind: Any) -> None:
    """The order of variables is free, others are dropped, and the estimator warns of nothing."""
    fitted = clone(CLASSIFIERS[kind]).fit(FRAME, LABELS)
    model = put(fitted)
    others = {"c d": 1.5, "b": -2.0, "a": 0.1}
    x = pd.DataFrame([VARIABLES, others])[["a", "b", "c d"]]
    assert together(model, VARIABLES, others) == expected(fitted, x)
    assert [model.call(VARIABLES)] == expected(fitted, x[:1])
    assert sorted(schema_of(model)["required"]) == ["a", "b", "c d"]
    steps = STEPS.get(kind, type(fitted).__name__)
    assert model.doc == f"The ready model in model.joblib: {steps}."


@pytest.mark.parametrize("kind", sorted(CLASSIFIERS.keys() - {"columns"}))
def test_fitted_on_arrays_it_takes_x(put: Put, kind: Any) -> None:
    """`x` is a list of as many numbers as the estimator has inputs."""
    fitted = clone(CLASSIFIERS[kind]).fit(FRAME.to_numpy(), LABELS)
    model = put(fitted)
    assert together(model, {"x": [1, 2, 3]}, {"x": [0.5, 1, -0.25]}) == expected(
        fitted, np.array([[1, 2, 3], [0.5, 1, -0.25]])
    )
    for wrong in ([1, 2], [1, 2, 3, 4], [1, 2, "x"], [1, 2, None] if kind == "linear" else "x", 1):
        with pytest.raises(VariablesInvalid, match="x"):
            bind(model, {"x": wrong})
    with pytest.raises(VariablesInvalid, match="x: Field required"):
        bind(model, {"a": 1})


def test_each_field_that_does_not_fit_is_named(put: Put) -> None:
    """An error names all bad fields at once; text that reads as a number is accepted."""
    model = put(linear_model.LogisticRegression().fit(FRAME, LABELS))
    with pytest.raises(VariablesInvalid) as caught:
        bind(model, {"a": "old", "b": None})
    assert [field.field for field in caught.value.fields] == ["a", "b", "c d"]
    assert [field.message for field in caught.value.fields][2] == "Field required"
    for value in ("1.5", True, 2**70):
        assert bind(model, {"a": value, "b": 0, "c d": 0})[0] == float(value)
    wrongs: tuple[Any, ...] = ("nan", "inf", [1], {})
    for wrong in wrongs:
        with pytest.raises(VariablesInvalid):
            bind(model, {"a": wrong, "b": 0, "c d": 0})


def test_one_feature(put: Put) -> None:
    """An estimator with a single column is called like any other."""
    fitted = linear_model.LogisticRegression().fit(FRAME[["a"]], LABELS)
    assert together(put(fitted), {"a": 2}, {"a": -1}) == expected(
        fitted, pd.DataFrame({"a": [2, -1]})
    )


def test_null_is_a_number_where_one_may_be_missing(put: Put) -> None:
    """null is accepted where an imputer or boosted trees take it, and refused elsewhere."""
    row = {"a": None, "b": 1, "c d": 2}
    for place, fitted in enumerate(
        [
            pipeline.make_pipeline(
                pre.StandardScaler(), impute.SimpleImputer(), linear_model.LogisticRegression()
            ),
            ensemble.HistGradientBoostingClassifier(max_iter=3),
        ]
    ):
        model = put(fitted.fit(FRAME, LABELS), name=f"Fills{place}")
        x = pd.DataFrame([row]).astype(float)
        assert together(model, row) == expected(fitted, x)
        with pytest.raises(VariablesInvalid, match="a: Field required"):
            bind(model, {"b": 1, "c d": 2})


def test_columns_of_texts(put: Put) -> None:
    """Categories and texts keep their type, numbers are validated, unused columns not required."""
    columns = compose.make_column_transformer(
        (pipeline.make_pipeline(impute.SimpleImputer(), pre.StandardScaler()), ["a"]),
        (pre.StandardScaler(), slice(1, 2)),
        (pre.OneHotEncoder(handle_unknown="error"), ["kind"]),
        (TfidfVectorizer(), "text"),
    )
    frame = MIXED.assign(text=np.where(FRAME.b > 0, "good day", "bad night"))
    fitted = pipeline.make_pipeline(columns, linear_model.LogisticRegression()).fit(frame, LABELS)
    model = put(fitted)
    assert schema_of(model)["required"] == ["a", "b", "kind", "text"]
    rows: list[dict[str, Any]] = [
        {"a": None, "b": 1, "kind": "big", "text": "good"},
        {"a": 2, "b": 0.5, "kind": "small", "text": "a bad day"},
    ]
    assert together(model, *rows) == expected(fitted, pd.DataFrame(rows).assign(**{"c d": 0.0}))
    for field, wrong in [
        ("b", "x"), ("b", None), ("text", 1), ("kind", ["big"]), ("kind", None), ("kind", "huge"),
    ]:  # fmt: skip
        with pytest.raises(VariablesInvalid, match=field):
            bind(model, {**rows[0], field: wrong})


def test_categories_of_arrays(put: Put) -> None:
    """An estimator that was fitted on an array of texts takes texts in `x`."""
    x = MIXED[["kind"]].to_numpy(dtype=object)
    fitted = pipeline.make_pipeline(pre.OneHotEncoder(), linear_model.LogisticRegression()).fit(
        x, LABELS
    )
    assert together(put(fitted), {"x": ["big"]}) == expected(
        fitted, np.array([["big"]], dtype=object)
    )


def test_texts_and_objects(put: Put) -> None:
    """An estimator without names and number of inputs takes `x`, or the variables themselves."""
    texts = ["good day", "bad night"] * 5
    fitted = pipeline.make_pipeline(TfidfVectorizer(), linear_model.LogisticRegression()).fit(
        texts, [1, 0] * 5
    )
    model = put(fitted, name="Texts")
    assert [one["prediction"] for one in together(model, {"x": "bad"}, {"x": "good"})] == [0, 1]
    assert list(together(model, {"x": "bad"})[0]["probabilities"]) == ["0", "1"]
    with pytest.raises(VariablesInvalid):
        bind(model, {"x": 1})
    fitted = pipeline.make_pipeline(DictVectorizer(), linear_model.LogisticRegression())
    model = put(fitted.fit([{"k": "u", "n": 1}, {"k": "v"}] * 5, [True, False] * 5), name="Objects")
    assert [one["prediction"] for one in together(model, {"k": "v"}, {"k": "u", "n": 2})] == [
        False,
        True,
    ]
    assert list(together(model, {"k": "v"})[0]["probabilities"]) == ["false", "true"]


def test_a_class_of_the_folder_can_be_in_it(put: Put) -> None:
    """A pickle may refer to a helper module, which is imported for this model alone."""
    source = "class Twice:\n    def predict(self, x):\n        return [value * 2 for value in x]\n"
    module: dict[str, Any] = {"__name__": "helper_of_ready"}
    exec(source, module)
    kind = module["Twice"]
    sys.modules["helper_of_ready"] = type(sys)("helper_of_ready")
    sys.modules["helper_of_ready"].Twice = kind  # type: ignore[attr-defined]
    try:
        content = pickle.dumps(kind())
    finally:
        del sys.modules["helper_of_ready"]
    model = put(content, "model.pkl", helper_of_ready=source)
    assert together(model, {"x": 4}, {"x": 5}) == [{"prediction": 8}, {"prediction": 10}]


# --- what comes out -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator", "y", "answer"),
    [
        (linear_model.LinearRegression(), NUMBERS, {"prediction": pytest.approx(2.0)}),
        (
            linear_model.LinearRegression(),
            np.c_[NUMBERS, NUMBERS],
            {"prediction": pytest.approx([2.0, 2.0])},
        ),
        (SVC(), LABELS, {"prediction": "yes"}),
        (cluster.KMeans(1), None, {"prediction": 0}),
        (pre.FunctionTransformer(), None, {"prediction": [0.5, 1.0, -0.25]}),
        (compose.make_column_transformer((pre.OneHotEncoder(), [])), None, {"prediction": []}),
        (compose.TransformedTargetRegressor(), NUMBERS, {"prediction": pytest.approx(2.0)}),
    ],
)
def test_other_estimators_answer_their_prediction(
    put: Put, estimator: Any, y: Any, answer: Any
) -> None:
    """Regressors, clusterers, transformers and several outputs answer `prediction` alone."""
    x = FRAME.to_numpy()
    assert together(put(estimator.fit(x, y)), {"x": [0.5, 1.0, -0.25]}) == [answer]


def test_several_labels_at_once(put: Put) -> None:
    """A classifier of several outputs answers a prediction and probabilities for each."""
    y = np.c_[LABELS == "yes", FRAME.b > 0].astype(int)
    x = {"x": [3.0, 3.0, 0.0]}
    for name, fitted in [
        ("Multi", MultiOutputClassifier(linear_model.LogisticRegression())),
        ("Tree", ensemble.RandomForestClassifier(3, random_state=0)),
    ]:
        [answer] = together(put(fitted.fit(FRAME.to_numpy(), y), name=name), x)
        assert answer["prediction"] == [1, 1]
        assert [list(one) for one in answer["probabilities"]] == [["0", "1"], ["0", "1"]]
        assert answer["probabilities"][0]["1"] > 0.5


def test_the_label_is_that_of_predict(put: Put) -> None:
    """`predict` gives the label, also where a threshold makes it differ from the probabilities."""
    tuned = model_selection.FixedThresholdClassifier(
        linear_model.LogisticRegression(), threshold=0.9, pos_label="yes"
    )
    fitted = tuned.fit(FRAME.to_numpy(), LABELS)
    rows = FRAME.to_numpy().tolist()
    answers = together(put(fitted), *({"x": row} for row in rows))
    assert [answer["prediction"] for answer in answers] == fitted.predict(FRAME.to_numpy()).tolist()
    assert any(
        answer["prediction"] == "no" and answer["probabilities"]["yes"] > 0.5 for answer in answers
    )


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (
            {"model": 1},
            "model.joblib: holds a dict (model: int), no model (save them as one Pipeline, or add",
        ),
        (linear_model.LogisticRegression, "holds the class LogisticRegression"),
        (
            linear_model.LogisticRegression(),
            "holds a LogisticRegression that is not fitted (fit it",
        ),
        (
            pipeline.make_pipeline(pre.StandardScaler(), SVC()),
            "holds a StandardScaler that is not fitted",
        ),
    ],
)
def test_what_is_no_model_is_refused(put: Put, thing: Any, message: Any) -> None:
    """A file without a model is refused at load, with a hint."""
    with pytest.raises(ModelBroken) as caught:
        put(thing)
    assert message in str(caught.value)


@pytest.mark.parametrize("file", ["model.pkl", "model.joblib", "model.skops", "model.onnx"])
def test_a_damaged_file_is_that_models_fault(write: Write, serve: Any, file: Any) -> None:
    """Whatever the library raises becomes the model's fault."""
    write("Ready", files={file: b"\x80nonsense"})
    with pytest.raises(ModelBroken):
        serve(None, name="Ready")


@pytest.mark.parametrize(
    ("file", "library"), [("model.skops", "skops"), ("model.onnx", "onnxruntime")]
)
def test_a_missing_library_is_told(
    write: Write, serve: Any, monkeypatch: pytest.MonkeyPatch, file: Any, library: Any
) -> None:
    """The fault names the line to add to the requirements."""
    write("Ready", files={file: b"x"})
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(
        sys, "path", [place for place in sys.path if not (Path(place) / library).exists()]
    )
    with pytest.raises(ModelBroken) as caught:
        serve(None, name="Ready")
    assert str(fault_of(caught.value).hint).startswith(
        f"add the line {library} to requirements-models.txt"
    )


def test_another_version_of_scikit_learn_is_a_note(
    put: Put, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning goes to the log once, and the model serves."""
    fitted = pipeline.make_pipeline(pre.StandardScaler(), linear_model.LogisticRegression()).fit(
        FRAME, LABELS
    )
    content = pickle.dumps(fitted)
    version = fitted.__getstate__()["_sklearn_version"].encode()
    other = version[:-1] + (b"0" if version[-1:] != b"0" else b"9")
    with caplog.at_level(logging.WARNING, "modelsync"):
        model = put(content.replace(version, other), "pipeline.pkl")
    assert together(model, VARIABLES)[0]["prediction"] == "yes"
    notes = [
        record.getMessage()
        for record in caplog.records
        if "Trying to unpickle" in record.getMessage()
    ]
    assert notes
    assert len(notes) == len(set(notes))
    assert all(note.startswith("Ready/pipeline.pkl: ") for note in notes)


# --- skops ----------------------------------------------------------------------------------------


class Suspicious(pre.StandardScaler):
    """A type that skops does not know."""


def test_skops(put: Put) -> None:
    """Trusted types are loaded; others are named and not loaded."""
    fitted = pipeline.make_pipeline(pre.StandardScaler(), linear_model.LogisticRegression()).fit(
        FRAME, LABELS
    )
    model = put(skops.io.dumps(fitted), "credit.skops")
    assert together(model, VARIABLES) == expected(
        fitted, pd.DataFrame([VARIABLES])[["a", "b", "c d"]]
    )
    with pytest.raises(
        ModelBroken, match=r"does not trust: .*Suspicious \(if you trust them, add an etls\.py"
    ):
        put(skops.io.dumps(Suspicious().fit(FRAME)), "other.skops", name="Other")


def test_a_library_of_another_version_is_told(serve: Load) -> None:
    """The error says where to name the versions that wrote the file."""
    helper = "from sklearn.utils import gone\nclass Mapper: pass\n"
    files: dict[str, str | bytes] = {
        "pipeline.pkl": b"chelper\nMapper\n.",
        "helper.py": helper,
    }
    fault = broken(serve, None, files)
    assert "needs a library of another version: cannot import name 'gone'" in str(fault)
    assert fault.hint
    assert "requirements.txt" in fault.hint
    assert fault.file == "pipeline.pkl"
