"""Artefacts answer a table, many rows in one request, as the library that wrote them does."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from sklearn import compose, impute, linear_model, naive_bayes, pipeline
from sklearn import preprocessing as pre
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.feature_extraction import DictVectorizer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.multioutput import MultiOutputClassifier

from modelsync.errors import VariablesInvalid
from modelsync.models.tables.bodies import prediction
from modelsync.models.types import LoadedModel
from tests.fixtures.mapper import DataFrameMapper
from tests.models.conftest import Put
from tests.models.fitted import FRAME, LABELS

TITANIC = Path(__file__).parents[2] / "models_serve/Pipeline/titanic.csv"
PEOPLE = pd.read_csv(TITANIC)
SURVIVED = np.where(PEOPLE["survived"] == 1, "yes", "no")


def transformer() -> compose.ColumnTransformer:
    """Selects and prepares columns of which some values are missing."""
    return compose.make_column_transformer(
        (pre.OneHotEncoder(), ["class", "sex"]),
        (pipeline.make_pipeline(impute.SimpleImputer(), pre.StandardScaler()), ["age"]),
        (pre.OneHotEncoder(), ["embarked"]),
    )


def mapper(**options: Any) -> DataFrameMapper:
    """The same with sklearn-pandas."""
    filled = impute.SimpleImputer(strategy="constant", fill_value="")
    return DataFrameMapper(
        [
            ("sex", pre.LabelBinarizer()),
            (["age"], [impute.SimpleImputer(), pre.StandardScaler()]),
            (["class"], pre.OneHotEncoder()),
            (["embarked"], [filled, pre.OneHotEncoder()]),
        ],
        **options,
    )


def fitted(first: Any) -> pipeline.Pipeline:
    steps = [("Columns", first), ("Classifier", linear_model.LogisticRegression())]
    return pipeline.Pipeline(steps).fit(PEOPLE.drop(columns="survived"), SURVIVED)


def columns(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """A DataFrame as JSON holds it: missing values are null."""
    return {str(name): [None if value != value else value for value in frame[name].tolist()]
            for name in frame}  # fmt: skip


def ask(model: LoadedModel, **body: Any) -> dict[str, Any]:
    """The answer to a body with a table."""
    answer: dict[str, Any] = model.call(prediction(body))
    return answer


@pytest.mark.parametrize("rows", [1, 5, 1000])
@pytest.mark.parametrize("first", [transformer, mapper])
def test_a_pipeline_that_selects_columns_answers_as_itself(put: Put, first: Any, rows: int) -> None:
    """Missing values and categories included; columns that it does not take are ignored."""
    estimator = fitted(first())
    model = put(cloudpickle.dumps(estimator), "pipeline.pkl")
    people = pd.concat([PEOPLE, PEOPLE])[:rows]
    shuffled = people[["embarked", "age", "survived", "sex", "class"]]
    answer = ask(model, data=columns(shuffled))
    assert answer["predict"] == estimator.predict(people).tolist()
    assert answer["predict_proba"] == pytest.approx(estimator.predict_proba(people))
    assert np.shape(answer["predict_proba"]) == (rows, 2)
    assert model.artefact
    assert sorted(model.artefact.features) == ["age", "class", "embarked", "sex"]
    assert model.artefact.kind == "LogisticRegression"
    assert model.artefact.steps == ("Columns", "Classifier")


def test_an_unknown_age_alone_is_missing(put: Put) -> None:
    """A column whose only value is null is a column of numbers, not of objects."""
    for first in (transformer, mapper):
        estimator = fitted(first())
        model = put(cloudpickle.dumps(estimator), "pipeline.pkl")
        row = PEOPLE[5:6]
        assert row["age"].isna().all()
        answer = ask(model, data=columns(row))
        assert answer["predict_proba"] == pytest.approx(estimator.predict_proba(row))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"sex": ["male"]}, "class: is missing; there are sex; age: is missing"),
        ({"sex": ["male"], "age": [1, 2], "class": [1], "embarked": ["S"]},
         "different numbers of values: sex has 1, age has 2"),
        ({"sex": ["male"], "age": "old", "class": [1], "embarked": ["S"]}, "data.age: is a text"),
        ({"sex": ["m"] * 2, "age": [1, "old"], "class": [1] * 2, "embarked": ["S"] * 2},
         "age: row 1: Input should be a valid number"),
        ({"sex": ["m"], "age": [[1]], "class": [1], "embarked": ["S"]}, "data.age: row 0 holds"),
        ({}, "data: .*no columns"),
        ([], "data: .*no rows"),
        ([3, "male", 22], "expected 4 values in each row .class, sex, age, embarked., came 3"),
        ("text", "data: is a text"),
        (None, "data: is null"),
    ],
)  # fmt: skip
def test_a_table_that_does_not_fit_is_refused(put: Put, data: Any, said: str) -> None:
    """The error names each column that is missing, ragged or of another type."""
    model = put(fitted(transformer()), "pipeline.pkl")
    with pytest.raises(VariablesInvalid, match=said):
        ask(model, data=data)


def test_wrong_values_are_named_up_to_a_hundred(put: Put) -> None:
    """However many rows are wrong, the answer is short."""
    model = put(naive_bayes.GaussianNB().fit(FRAME, LABELS))
    with pytest.raises(VariablesInvalid) as caught:
        ask(model, data={name: ["x"] * 50_000 for name in FRAME})
    assert len(caught.value.fields) == 100
    assert caught.value.fields[3].field == "a"
    assert caught.value.fields[3].message.startswith("row 1: ")


def test_rows_follow_the_order_of_the_features(put: Put) -> None:
    """Without names the columns are those that it was fitted with, in their order."""
    estimator = naive_bayes.GaussianNB().fit(FRAME, LABELS)
    model = put(estimator)
    rows = FRAME[:4].to_numpy().tolist()
    expected = estimator.predict(FRAME[:4]).tolist()
    assert ask(model, data=rows)["predictions"] == expected
    assert ask(model, data=rows[0])["predictions"] == expected[:1]
    assert ask(model, x=rows) == {"y": expected}
    assert ask(model, x=columns(FRAME[:4])) == {"y": expected}
    named = [dict(zip(FRAME, row, strict=True)) for row in rows]
    assert ask(model, data=named)["predictions"] == expected


def test_fitted_on_arrays_it_takes_columns_by_place(put: Put) -> None:
    """Columns named `0`, `1` and so on, in any order, or of other names, in theirs."""
    estimator = linear_model.LogisticRegression().fit(FRAME.to_numpy(), LABELS)
    model = put(estimator)
    assert model.artefact
    assert model.artefact.features == ("0", "1", "2")
    wanted = estimator.predict_proba(FRAME[:4].to_numpy())
    numbered = dict(zip("012", columns(FRAME[:4]).values(), strict=True))
    for data in (columns(FRAME[:4]), numbered, dict(reversed(numbered.items()))):
        assert ask(model, data=data)["predict_proba"] == pytest.approx(wanted)
    rows = FRAME[:4].to_numpy()
    assert ask(model, data=rows.tolist()) == {"predictions": estimator.predict(rows).tolist()}
    with pytest.raises(VariablesInvalid, match="expected 3 values in each row"):
        ask(model, data={"a": [1], "b": [2]})


def test_one_feature_takes_a_list_as_a_column(put: Put) -> None:
    """A flat list is a row of several features, and a column of one."""
    model = put(linear_model.LinearRegression().fit([[1.0], [2.0]], [2.0, 4.0]))
    assert ask(model, x=[1, 2, 3])["y"] == pytest.approx([2, 4, 6])
    assert ask(model, data=[5])["predictions"] == pytest.approx([10])


def test_a_regressor_has_no_probabilities(put: Put) -> None:
    """And null is missing where it takes that."""
    estimator = HistGradientBoostingRegressor(max_iter=3).fit(FRAME, FRAME.a)
    model = put(estimator)
    frame = FRAME[:3].assign(a=[float("nan"), 1.0, 2.0])
    assert ask(model, data=columns(frame)) == {"predict": estimator.predict(frame).tolist()}


def test_texts_and_dicts_are_tables_of_one_column_and_of_any(put: Put) -> None:
    """A pipeline of texts has the column `x`; one of dicts takes the columns that there are."""
    texts = ["good film", "bad film", "good", "bad"]
    estimator = pipeline.make_pipeline(TfidfVectorizer(), naive_bayes.MultinomialNB())
    estimator.fit(texts, ["+", "-", "+", "-"])
    model = put(estimator, name="Texts")
    for data in ({"x": texts}, texts, [[text] for text in texts]):
        answer = ask(model, data=data)
        assert next(iter(answer.values())) == ["+", "-", "+", "-"]
    dicts = [{"city": "Bern", "size": 3.0}, {"city": "Rome", "size": 9.0}]
    estimator = pipeline.make_pipeline(DictVectorizer(), linear_model.LogisticRegression())
    model = put(estimator.fit(dicts, ["a", "b"]), name="Dicts")
    assert ask(model, data={"city": ["Rome", "Bern"], "size": [9, 3]})["predict"] == ["b", "a"]


def test_several_outputs_have_a_list_for_each(put: Put) -> None:
    """Of each row, the probabilities of each output."""
    y = np.column_stack([LABELS, np.where(FRAME.b > 0, "up", "down")])
    estimator = MultiOutputClassifier(linear_model.LogisticRegression()).fit(FRAME, y)
    answer = ask(put(estimator), data=columns(FRAME[:2]))
    assert answer["predict"] == estimator.predict(FRAME[:2]).tolist()
    first, second = estimator.predict_proba(FRAME[:2])
    assert answer["predict_proba"][1] == [pytest.approx(first[1]), pytest.approx(second[1])]


def test_a_mapper_that_passes_on_columns_gets_them_all(put: Put) -> None:
    """With `default=None` it uses columns that it does not name."""
    numbers = FRAME.rename(columns={"c d": "c"})
    first = DataFrameMapper([(["a"], pre.StandardScaler())], default=None)
    estimator = pipeline.make_pipeline(first, linear_model.LogisticRegression())
    model = put(cloudpickle.dumps(estimator.fit(numbers, LABELS)), "pipeline.pkl")
    answer = ask(model, data=columns(numbers[:3]))
    assert answer["predict_proba"] == pytest.approx(estimator.predict_proba(numbers[:3]))
    assert (
        model.call({str(name): value for name, value in numbers.iloc[0].items()})["prediction"]
        == answer["predict"][0]
    )
    with pytest.raises(VariablesInvalid, match="a: is missing"):
        ask(model, data={"b": [1], "c": [2]})


def test_the_mapper_is_known_by_its_attributes(put: Put) -> None:
    """Each column is named once, in the order in which the mapper selects them."""
    estimator = fitted(mapper())
    model = put(cloudpickle.dumps(estimator), "pipeline.pkl")
    assert model.artefact
    assert model.artefact.features == ("sex", "age", "class", "embarked")
    assert "sklearn_pandas" in str(type(pickle.loads(cloudpickle.dumps(estimator)).steps[0][1]))
    with pytest.raises(VariablesInvalid, match="age: "):
        model.call({"sex": "male", "age": "old", "class": 1, "embarked": "S"})
