"""Each compiler's forms answer what the estimator answers, also where it is hard."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from modelsync.models.artefacts import estimators
from modelsync.models.compiled import compiled_call
from modelsync.models.forms import compiled_model
from modelsync.models.forms.compiled_model import CompiledModel, NotProven
from modelsync.models.forms.compiler import Compiler, NotCompilable
from modelsync.models.forms.forest_compiler import ForestCompiler
from modelsync.models.forms.linear_compiler import LinearCompiler
from modelsync.models.forms.onnx_compiler import OnnxCompiler
from tests.models.compiled.tables import (
    FRAME,
    LABEL,
    NUMBER,
    ROWS,
    TABLE,
    THREE,
    columns,
    pipeline,
)

LINEAR, FOREST, DOUBLE = LinearCompiler(), ForestCompiler(), OnnxCompiler("double")
TWO = (THREE == 1).astype(int)


def is_same(one: Any, other: Any) -> bool:
    """Whether two answers are the same: labels with their types, numbers to 1e-6."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(is_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    if type(one) is float and type(other) is float:
        return abs(one - other) <= 1e-6 * max(abs(one), abs(other), 1e-6)
    return type(one) is type(other) and bool(one == other)


def check(estimator: Any, compiler: Compiler, rows: list[Any], folder: Path) -> CompiledModel:
    """Compile, save and load; every row is answered alike, alone and among the others."""
    artefact = estimators.adapt(estimator, "model.pkl")
    assert artefact.target
    compiled_model.save(compiler.compile(artefact.target), folder)
    form = compiled_model.load(folder)
    write = artefact.target.output.write
    expected = artefact.batch.call(rows)
    together = write(*form.answer(rows))
    alone = list(chain.from_iterable(write(*form.answer([row])) for row in rows))
    for row, *answers in zip(rows, expected, together, alone, strict=True):
        assert is_same(answers[0], answers[1]), row
        assert is_same(answers[0], answers[2]), row
    return form


UNSEEN: list[Any] = [
    (30, 50_000, "Basel", True),
    (2**60, -1e12, "", False),
    (-0.0, 1e-300, "Zug", True),
]


@pytest.mark.parametrize(
    ("last", "compiler"),
    [
        (LogisticRegression(), LINEAR),
        (SGDClassifier(loss="log_loss", random_state=0), LINEAR),
        (LinearSVC(), LINEAR),
        (LinearDiscriminantAnalysis(), LINEAR),
        (GaussianNB(), DOUBLE),
        (DecisionTreeClassifier(random_state=0), FOREST),
        (RandomForestClassifier(20, random_state=0), FOREST),
        (RandomForestClassifier(20, max_depth=4, random_state=0), FOREST),
        (ExtraTreesClassifier(20, random_state=0), FOREST),
        (GradientBoostingClassifier(n_estimators=20, random_state=0), FOREST),
        (HistGradientBoostingClassifier(max_iter=20), FOREST),
    ],
    ids=lambda one: type(one).__name__,
)
def test_pipeline_of_numbers_texts_and_booleans(
    last: Any, compiler: Compiler, tmp_path: Path
) -> None:
    dense = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    check(pipeline(last, columns(texts=dense)), compiler, ROWS + UNSEEN, tmp_path)


@pytest.mark.parametrize(
    "first",
    [
        columns(MinMaxScaler(), OrdinalEncoder()),
        columns(RobustScaler(), OneHotEncoder(drop="first")),
        columns(
            "passthrough", OneHotEncoder(min_frequency=70, handle_unknown="infrequent_if_exist")
        ),
        columns(make_pipeline(SimpleImputer(), StandardScaler())),
        make_pipeline(columns(), SelectKBest(k=3)),
        make_pipeline(columns(), StandardScaler(with_mean=False)),
        ColumnTransformer([("texts", OneHotEncoder(), [2, 3])], remainder=StandardScaler()),
    ],
    ids=range(7),
)
def test_transformers_are_read_as_one_function(first: Any, tmp_path: Path) -> None:
    check(pipeline(LogisticRegression(max_iter=500), first), LINEAR, ROWS, tmp_path)


def test_transformer_that_is_not_read_stays_in_the_graph(tmp_path: Path) -> None:
    first = columns(QuantileTransformer(n_quantiles=20))
    check(pipeline(LogisticRegression(), first), DOUBLE, ROWS, tmp_path)


@pytest.mark.parametrize("numbers", [SimpleImputer(), SimpleImputer(strategy="constant")])
def test_missing_numbers_and_texts(numbers: Any, tmp_path: Path) -> None:
    gaps = FRAME.astype({"age": float, "city": object})
    gaps.loc[::7, "age"] = np.nan
    gaps.loc[::5, "city"] = np.nan
    texts = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    first = ColumnTransformer(
        [
            ("numbers", make_pipeline(numbers, StandardScaler()), ["age", "income"]),
            ("texts", texts, ["city"]),
        ]
    )
    fitted = make_pipeline(first, LogisticRegression()).fit(gaps, LABEL)
    rows: list[Any] = [(None, 50_000, "Zug"), (30, None, None), (30, 1, "Bern")]
    check(fitted, LINEAR, rows, tmp_path)


@pytest.mark.parametrize(
    "model",
    [
        LinearRegression().fit(TABLE, NUMBER),
        LinearRegression().fit(TABLE, NUMBER[:, None]),
        Ridge().fit(TABLE, np.column_stack([NUMBER, -NUMBER])),
        PoissonRegressor().fit(TABLE, np.abs(NUMBER)),
        LogisticRegression().fit(TABLE, THREE),
        SGDClassifier(loss="log_loss", random_state=0).fit(TABLE, THREE),
        RidgeClassifier().fit(TABLE, THREE),
        LogisticRegression().fit(TABLE, TWO.astype(bool)),
        LogisticRegression().fit(TABLE, TWO + 0.5 > 1),
        LogisticRegression().fit(TABLE, np.where(TWO, 2.0, 1.0)),
        GridSearchCV(Ridge(), {"alpha": [0.1, 1]}, cv=2).fit(TABLE, NUMBER),
        StandardScaler().fit(TABLE),
    ],
    ids=range(12),
)
def test_linear_models(model: Any, tmp_path: Path) -> None:
    check(model, LINEAR, TABLE[:50].tolist(), tmp_path)


# --- trees ----------------------------------------------------------------------------------------


def at_thresholds(values: Any, kind: type) -> list[Any]:
    """Return rows with each value and its neighbours, in numbers of 32 and of 64 bits."""
    found: list[float] = []
    for value in values:
        single, double = np.float32(value), np.float64(value)
        found += [float(single), float(double)]
        for sign in (-np.inf, np.inf):
            found += [float(np.nextafter(single, np.float32(sign)))]
            found += [float(np.nextafter(double, sign))]
    rows = np.resize(np.array(found), (-(-len(found) // 4) * 4)).reshape(-1, 4)
    return [kind(row) for row in rows.tolist()]


FORESTS = {
    "regressor": RandomForestRegressor(10, random_state=0).fit(TABLE, NUMBER),
    "two outputs": RandomForestRegressor(5, random_state=0).fit(
        TABLE, np.column_stack([NUMBER, -NUMBER])
    ),
    "three classes": RandomForestClassifier(10, random_state=0).fit(TABLE, THREE),
    "few leaves": RandomForestClassifier(10, max_depth=3, random_state=0).fit(TABLE, THREE),
    "one tree": DecisionTreeRegressor(random_state=0).fit(TABLE, NUMBER),
    "one leaf": DecisionTreeRegressor(max_depth=1, min_samples_leaf=150).fit(TABLE, NUMBER),
    "boosting": GradientBoostingRegressor(n_estimators=20, random_state=0).fit(TABLE, NUMBER),
    "exponential": GradientBoostingClassifier(
        n_estimators=20, loss="exponential", random_state=0
    ).fit(TABLE, TWO),
    "boosting of three": GradientBoostingClassifier(n_estimators=10, random_state=0).fit(
        TABLE, THREE
    ),
    "histograms": HistGradientBoostingRegressor(max_iter=20, loss="poisson").fit(
        TABLE, np.abs(NUMBER)
    ),
    "histograms of three": HistGradientBoostingClassifier(max_iter=10).fit(TABLE, THREE),
}


@pytest.mark.parametrize("name", FORESTS)
def test_forests_next_to_their_thresholds(name: str, tmp_path: Path) -> None:
    forest = FORESTS[name]
    members = [one.tree_.threshold for one in np.ravel(getattr(forest, "estimators_", [])).tolist()]
    if hasattr(forest, "tree_"):
        members = [forest.tree_.threshold]
    for predictors in getattr(forest, "_predictors", []):
        members += [one.nodes["num_threshold"] for one in predictors]
    thresholds = np.unique(np.concatenate(members))
    rows = at_thresholds(thresholds[np.isfinite(thresholds)][:400], list)
    check(forest, FOREST, rows + TABLE[:20].tolist(), tmp_path)


def test_forest_sends_missing_values_as_the_estimator_does(tmp_path: Path) -> None:
    gaps = TABLE.copy()
    gaps[::3, 1] = np.nan
    rows: list[Any] = [[1.0, None, 0.5, 0.2], [None] * 4, [0, 1, 2, 3]]
    for model in (RandomForestClassifier(10, random_state=0), HistGradientBoostingClassifier()):
        check(model.fit(gaps, TWO), FOREST, rows, tmp_path)


@pytest.mark.parametrize("target", ["two", "three", "number"])
def test_lightgbm(target: str, tmp_path: Path) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    kind = lightgbm.LGBMRegressor if target == "number" else lightgbm.LGBMClassifier
    y = {"two": TWO, "three": THREE, "number": NUMBER}[target]
    gaps = TABLE.copy()
    gaps[::3, 1] = np.nan
    model = kind(n_estimators=20, min_child_samples=5, verbose=-1).fit(gaps, y)
    zero = 1.0000000180025095e-35  # near it all numbers are zero
    rows = [*TABLE[:50].tolist(), [None] * 4, [0, -zero, zero, -0.0], [zero, 0, -1e-35, 1e-35]]
    check(model, FOREST, rows, tmp_path)


@pytest.mark.parametrize("target", ["two", "three", "number"])
def test_xgboost_to_the_last_bit(target: str, tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    kind = xgboost.XGBRegressor if target == "number" else xgboost.XGBClassifier
    y = {"two": TWO, "three": THREE, "number": NUMBER}[target]
    model = kind(n_estimators=20).fit(TABLE, y)
    trees = model.get_booster().trees_to_dataframe()
    rows = at_thresholds(trees["Split"].dropna().unique()[:100], list)
    check(model, FOREST, [*rows, *TABLE[:50].tolist(), [None] * 4], tmp_path)


# --- what cannot be compiled, and what is not proven ----------------------------------------------


class Doubled(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A transformer of somebody's own."""

    def fit(self, x: Any, y: Any = None) -> Doubled:
        self.n_features_in_ = x.shape[1]
        return self

    def transform(self, x: Any) -> Any:
        return x * 2


def test_transformer_of_ones_own_is_named() -> None:
    target = estimators.adapt(
        make_pipeline(Doubled(), LogisticRegression()).fit(TABLE, TWO), "model.pkl"
    ).target
    assert target
    with pytest.raises(NotCompilable, match="Doubled"):
        DOUBLE.compile(target)


def test_column_of_texts_for_a_vectorizer_is_named() -> None:
    first = ColumnTransformer([("words", CountVectorizer(), "city")], remainder="drop")
    target = estimators.adapt(pipeline(LogisticRegression(), first), "model.pkl").target
    assert target
    with pytest.raises(NotCompilable, match=r"CountVectorizer takes texts.*'words'"):
        DOUBLE.compile(target)


@pytest.mark.parametrize("last", [LogisticRegression(), RandomForestClassifier(5)])
def test_row_that_is_not_proven_gets_the_answer_of_the_estimator(last: Any, tmp_path: Path) -> None:
    artefact = estimators.adapt(pipeline(last), "model.pkl")
    assert artefact.target
    compiler = LINEAR if isinstance(last, LogisticRegression) else FOREST
    call = compiled_call.of(artefact, compiler.compile(artefact.target))
    odd: list[Any] = [(30, 1e300, "Zug", True), (30, 1, None, True)]
    rows = [*ROWS[:5], *odd, *ROWS[5:10]]
    expected = []
    for row in rows:
        try:
            expected += artefact.batch.call([row])
        except Exception:
            expected.append(None)
    kept = [row for row, answer in zip(rows, expected, strict=True) if answer is not None]
    assert is_same(call(kept), [one for one in expected if one is not None])


def test_value_of_a_column_that_is_not_selected_is_checked_too() -> None:
    """The scaler and the encoder refuse it, before the selection drops it."""
    first = ColumnTransformer(
        [("n", StandardScaler(), ["used", "number"]), ("c", OneHotEncoder(), ["text"])]
    )
    table = pd.DataFrame(
        {"used": TWO * 1.0, "number": NUMBER, "text": ["a", "b"] * (len(TWO) // 2)}
    )
    model = make_pipeline(first, SelectKBest(k=1), LogisticRegression()).fit(table, TWO)
    target = estimators.adapt(model, "model.pkl").target
    assert target
    for form in (LINEAR.compile(target), DOUBLE.compile(target)):
        form.answer([(1.0, 2.0, "a")])
        for row in [(1.0, float("nan"), "a"), (1.0, float("inf"), "a"), (1.0, 2.0, "c")]:
            with pytest.raises(NotProven):
                form.answer([row])


def test_value_outside_of_numbers_is_not_proven() -> None:
    linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(TABLE, TWO)
    forest = RandomForestClassifier(5, random_state=0).fit(TABLE, TWO)
    for model, compiler in ((linear, LINEAR), (linear, DOUBLE), (forest, FOREST)):
        target = estimators.adapt(model, "model.pkl").target
        assert target
        form = compiler.compile(target)
        for value in (float("inf"), float("-inf"), 1e400, 10**400):
            with pytest.raises((NotProven, OverflowError)):
                form.answer([[0.0, value, 1.0, 2.0]])
    target = estimators.adapt(forest, "model.pkl").target
    assert target
    with pytest.raises(NotProven):  # scikit-learn refuses what 32 bits cannot hold
        FOREST.compile(target).answer([[0.0, 1e39, 1.0, 2.0]])


@pytest.mark.parametrize("last", [LogisticRegression(), RandomForestClassifier(5)])
def test_file_of_a_form_holds_no_code(last: Any, tmp_path: Path) -> None:
    """Pods take forms from a shared cache: what is in it is data."""
    target = estimators.adapt(pipeline(last), "model.pkl").target
    assert target
    compiler = LINEAR if isinstance(last, LogisticRegression) else FOREST
    compiled_model.save(compiler.compile(target), tmp_path)
    path = tmp_path / compiled_model.DESCRIPTION
    content = json.loads(path.read_text("utf-8"))
    mark = tmp_path / "ran"
    code = f"2 if open({str(mark)!r}, 'w') else 2"
    for block in content["facts"]["encoding"]["blocks"]:
        if block["kind"] == "Lookup":
            block["place"] = f"{block['place']}] + [{code}][:0"
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(ValueError, match="invalid literal"):
        compiled_model.load(tmp_path).answer(ROWS[:1])
    assert not mark.exists()


def test_integer_that_no_double_holds_is_no_failure_of_a_form() -> None:
    artefact = estimators.adapt(LogisticRegression().fit(TABLE, TWO), "model.pkl")
    assert artefact.target
    failures: list[Exception] = []
    call = compiled_call.of(artefact, LINEAR.compile(artefact.target), failures.append)
    with pytest.raises(OverflowError):
        call([[10**400, 1.0, 1.0, 2.0]])
    assert not failures
    assert call.fallbacks == 1


def test_columns_that_are_given_as_arrays(tmp_path: Path) -> None:
    form = check(pipeline(LogisticRegression()), LINEAR, ROWS[:3], tmp_path)
    given = [FRAME[name].to_numpy() for name in FRAME.columns]
    assert form.run(given).scores == form.answer(ROWS).scores
    age, income, city, member = given
    for wrong in (
        [age.astype("float32"), income, city, member],
        [age, income, city],
        [age.astype(str), income, city, member],
        [np.full(len(age), 2**53 + 1), income, city, member],
        [age, income, np.arange(len(age)), member],
        [age, income, city, age],
    ):
        with pytest.raises(NotProven):
            form.run(wrong)


def test_categories_of_pandas(tmp_path: Path) -> None:
    typed = FRAME.astype({"city": pd.CategoricalDtype(["Bern", "Genf", "Zug"])})
    fitted = make_pipeline(columns(), LogisticRegression()).fit(typed, LABEL)
    check(fitted, LINEAR, ROWS + UNSEEN[:1], tmp_path)
