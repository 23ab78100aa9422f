"""Predictions of trainable models: before they are fitted, with a version, one by one and in
batches.
"""

from __future__ import annotations

import asyncio
import json
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from modelsync.errors import ModelBroken, ModelRaised, NotFitted, VariablesInvalid
from modelsync.models.loading import loader
from modelsync.models.types import LoadedModel
from modelsync.protocols.tables import TABLES
from tests.models import trained
from tests.models.code import bind, call_batch, fault_of, schema_of
from tests.models.conftest import Find, Load, Write

BODY = {"x": trained.FLOWERS, "y": {"kind": trained.KINDS}}
SETOSA, VIRGINICA = {"petal": 1.4, "sepal": 5.1}, {"petal": 6.0, "sepal": 6.3}


@pytest.fixture
def forest(write: Write, find: Find, tmp_path: Path) -> Any:
    """The two lines that suffice, fitted on columns with names."""
    write("Forest", trained.FOREST)
    model = loader.load(find("Forest"), fitted=trained.fit(find("Forest"), BODY, tmp_path))
    yield model
    loader.unload(model)


def test_the_version_of_the_answer(forest: LoadedModel, find: Find) -> None:
    """The code and the number of what was fitted."""
    assert forest.version == f"{find('Forest').version}+1"
    assert forest.fitted
    assert forest.instance.model.tree_.node_count > 1


@pytest.mark.parametrize(
    ("body", "answer"),
    [
        ({"x": trained.FLOWERS}, {"y": trained.KINDS}),
        ({"x": [SETOSA, VIRGINICA]}, {"y": ["setosa", "virginica"]}),
        ({"x": [[1.4, 5.1], [6, 6.3]]}, {"y": ["setosa", "virginica"]}),
        ({"x": {"sepal": [5.1], "more": [0], "petal": [1.4]}}, {"y": ["setosa"]}),
        ({"x": {"sepal": [5.1], "petal": [None]}}, {"y": ["setosa"]}),
        ({"data": [1.4, 5.1]}, {"predictions": ["setosa"]}),
        ({"data": [[1.4, 5.1], [6, 6.3]]}, {"predictions": ["setosa", "virginica"]}),
        (
            {"data": {"petal": [1.4], "sepal": [5.1], "more": [1]}},
            {"predict": ["setosa"], "predict_proba": [[1.0, 0.0, 0.0]]},
        ),
        (
            {"data": SETOSA},
            {"predict": ["setosa"], "predict_proba": [[1.0, 0.0, 0.0]]},
        ),
    ],
)
def test_forms_of_requests(forest: LoadedModel, body: Any, answer: Any) -> None:
    """Each is answered in its own form; none makes scikit-learn complain of names."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert trained.ask(forest, body) == answer


def test_one_row_of_variables(forest: LoadedModel) -> None:
    """As an artefact in a folder answers, with the schema of what it was fitted with."""
    found = trained.ask(forest, {"variables": {**SETOSA, "more": 1}})
    assert found["prediction"] == "setosa"
    assert found["probabilities"]["setosa"] == 1.0
    assert list(schema_of(forest)["properties"]) == ["petal", "sepal"]
    with pytest.raises(VariablesInvalid, match="sepal"):
        trained.ask(forest, {"variables": {"petal": 1}})


@pytest.mark.parametrize("orient", ["split", "records", "index", "columns", "values", "table"])
def test_answers_in_the_orient_of_the_request(forest: LoadedModel, orient: Any) -> None:
    """What pandas has written it reads again, with the labels of its rows."""
    frame = pd.DataFrame(trained.FLOWERS, index=range(10, 16))
    text = trained.ask(forest, {"x": frame.to_json(orient=orient), "orient": orient})["y"]
    assert isinstance(text, str)
    wanted = pd.DataFrame({"y": trained.KINDS}, index=frame.index)
    if orient in ("records", "values"):
        wanted = wanted.reset_index(drop=True)
    if orient != "table":
        assert json.loads(text) == json.loads(wanted.to_json(orient=orient))
    else:
        rows = json.loads(text)
        assert [row["y"] for row in rows["data"]] == trained.KINDS
        assert [row["index"] for row in rows["data"]] == list(frame.index)
        assert rows["schema"]["primaryKey"] == ["index"]
    given = json.loads(frame.to_json(orient=orient))
    assert trained.ask(forest, {"x": given, "orient": orient})["y"] == json.loads(text)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"x": {"petal": [1]}}, "x.sepal"),
        ({"data": {"petal": [1], "sepal": ["long"]}}, "data.sepal"),
        ({"x": [[1, 2, 3]]}, "x"),
        ({"x": [[1, 2], [1]]}, "x"),
        ({"x": []}, "x"),
        ({"x": [[1, 2]], "orient": "up"}, "orient"),
        ({"x": [[1, 2]], "key": [1]}, "key"),
    ],
)
def test_tables_that_do_not_fit(forest: LoadedModel, body: Any, field: str) -> None:
    """The field is named."""
    with pytest.raises(VariablesInvalid) as caught:
        trained.ask(forest, body)
    assert caught.value.fields[0].field == field


def test_a_table_does_not_enter_a_batch(forest: LoadedModel) -> None:
    """Rows of variables make one call; each table makes its own, and fails alone."""
    bodies = [{"variables": SETOSA}, {"x": [SETOSA]}, {"variables": VIRGINICA}, {"x": [[1]]}]
    rows = [bind(forest, TABLES.decode(json.dumps(body).encode())) for body in bodies]
    first, table, second, wrong = call_batch(forest, rows)
    assert [first["prediction"], second["prediction"]] == ["setosa", "virginica"]
    assert table == {"y": ["setosa"]}
    assert isinstance(wrong, VariablesInvalid)
    assert call_batch(forest, rows[1:2]) == [{"y": ["setosa"]}]


# --- nothing is fitted ----------------------------------------------------------------------------


def test_a_model_that_is_not_fitted_says_how(serve: Load) -> None:
    """It loads, and each prediction is refused."""
    model = serve(trained.FOREST + "    def train(self): ...\n", name="Forest")
    for body in ({"variables": {"a": 1}}, {"x": [[1]]}, {"data": {"a": [1]}}):
        with pytest.raises(NotFitted) as caught:
            trained.ask(model, body)
        text = str(caught.value)
        assert text.startswith("Forest has no fitted version: fit one with PUT to this model's URL")
        assert '{"x": [...], "y": [...]}' in text
        assert "no body, which calls its train()" in text


OWN = """
class Churn:
    def fit(self, x, y): return 1
    {init}
    {kind}def transform_predict(self, variables): return {{"a": {answer}}}
"""


@pytest.mark.parametrize("kind", ["", "async "])
@pytest.mark.parametrize(
    ("init", "answer"),
    [
        ("x = 1", "self.model.predict(variables)"),
        ("def __init__(self): self.model = None", "self.model.predict([1])"),
        ("def __init__(self): self.model = None", "self.model['a']"),
        ("def __init__(self): self.model = None", "self.model(1)"),
        ("x = 1", "self.scaler_.mean"),
        ("from sklearn.linear_model import Ridge", "self.Ridge().predict([[1]])"),
    ],
)
def test_own_code_that_needs_what_is_not_fitted(
    serve: Load, kind: str, init: str, answer: str
) -> None:
    """What its code raises for want of `self.model` is told as that."""
    model = serve(OWN.format(kind=kind, init=init, answer=answer))
    with pytest.raises(NotFitted):
        asyncio.run(model.call({})) if kind else model.call({})


def test_other_errors_of_own_code_stay_what_they_are(serve: Load) -> None:
    """Only what a fit would mend is told so."""
    model = serve(OWN.format(kind="", init="x = 1", answer="variables.nothing"))
    with pytest.raises(AttributeError, match="'dict' object has no attribute"):
        model.call({})
    ready = serve(OWN.format(kind="", init="model = 3", answer="self.other"), name="Churn")
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        ready.call({})


def test_a_model_in_the_folder_goes_on(serve: Load) -> None:
    """A class that loads one itself answers with that until another is fitted."""
    model = serve("""
    from sklearn.tree import DecisionTreeClassifier
    class Iris:
        def __init__(self):
            self.model = DecisionTreeClassifier().fit([[1.0, 2.0], [3.0, 4.0]], ["a", "b"])
        def train(self): ...
        def transform_predict(self, variables):
            return {"kind": self.model.predict([variables["x"]])[0]}
    """.replace("\n    ", "\n"), name="Iris")  # fmt: skip
    assert trained.ask(model, {"variables": {"x": [1, 2]}}) == {"kind": "a"}
    assert trained.ask(model, {"x": [[1, 2], [3, 4]]}) == {"y": ["a", "b"]}


@pytest.mark.parametrize("made", ["Ridge()", "make_pipeline(StandardScaler(), Ridge())", "{}"])
def test_a_model_that_waits_in_its_constructor(
    write: Write, find: Find, tmp_path: Path, made: str
) -> None:
    """An estimator that `__init__` makes and `fit` fits is no model yet, nor is another object."""
    write("Churn", f"""
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
class Churn:
    def __init__(self): self.model = {made}
    def fit(self, x, y): self.model = (self.model or Ridge()).fit(x, y)
""")  # fmt: skip
    model = loader.load(find("Churn"))
    for body in ({"variables": {"x": [1]}}, {"x": [[1]]}):
        with pytest.raises(NotFitted):
            trained.ask(model, body)
    loader.unload(model)
    version = trained.fit(find("Churn"), {"x": [[1], [2]], "y": [1, 2]}, tmp_path)
    model = loader.load(find("Churn"), fitted=version)
    assert trained.ask(model, {"x": [[1.5]]}) == {"y": [pytest.approx(1.5)]}
    loader.unload(model)


def test_rows_without_names_get_those_of_the_version(
    write: Write, find: Find, tmp_path: Path
) -> None:
    """For a model that answers each row by `transform_predict`."""
    body = {"x": {"a": [1], "b": [2]}, "y": [1]}
    more = "def transform_predict(self, a: int, b: int): return {'n': a - b}"
    model = loaded(write, find, tmp_path, body, "{}", more)
    assert trained.ask(model, {"x": [[5, 3]]}) == {"y": [{"n": 2}]}
    loader.unload(model)


# --- what predicts --------------------------------------------------------------------------------

PREDICTS = """
import pandas as pd, polars as pl
class Churn:
    def fit(self, x, y): return {fitted}
    {more}
"""


def loaded(
    write: Write, find: Find, folder: Path, body: Any, fitted: str, more: str = "x = 1"
) -> LoadedModel:
    """A model with this fitted object and these methods, with the version of this body."""
    write("Churn", PREDICTS.format(fitted=fitted, more=more))
    return loader.load(find("Churn"), fitted=trained.fit(find("Churn"), body, folder))


@pytest.mark.parametrize(
    ("fitted", "more", "answer"),
    [
        ("7", "def predict(self, x): return [self.model] * len(x)", [7, 7]),
        ("7", "def predict(self, x: list): return [row[0] for row in x]", [1, 3]),
        ("7", "def predict(self, x: dict): return x['0']", [1, 3]),
        ("7", "@staticmethod\n    def predict(x): return x.sum(axis=1)", [3, 7]),
        ("lambda x: x[:, 0] * 2", "x = 1", [2, 6]),
        ("7", "def transform_predict(self, variables): return {'n': self.model}", [{"n": 7}] * 2),
        (
            "7",
            "def predict(self, x): return {'a': x[:, 0], 'b': [5, 6]}",
            {"a": [1, 3], "b": [5, 6]},
        ),
        ("7", "def predict(self, x): return pd.DataFrame({'a': x[:, 1]})", {"a": [2, 4]}),
        ("7", "def predict(self, x: pl.DataFrame): return x.select('1')", {"1": [2, 4]}),
        ("7", "def predict(self, x: pl.DataFrame): return x['0']", [1, 3]),
        ("7", "def predict(self, x): return x", [[1, 2], [3, 4]]),
        ("7", "def predict(self, x): return (v for v in (1, None))", [1, None]),
    ],
)
def test_what_predicts(
    write: Write, find: Find, tmp_path: Path, fitted: str, more: str, answer: Any
) -> None:
    """The class's own `predict`, else that of what was fitted, else `transform_predict` by row."""
    body = {"x": [[1, 2], [3, 4]], "y": [0, 1]}
    model = loaded(write, find, tmp_path, body, fitted, more)
    assert trained.ask(model, {"x": [[1, 2], [3, 4]]}) == {"y": answer}
    loader.unload(model)


def test_own_predict_answers_one_row_too(write: Write, find: Find, tmp_path: Path) -> None:
    """`variables` is a row for a class that only predicts tables; times and categories included."""
    body = {"x": {"n": [1, 2], "t": ["a", "b"]}, "y": [0, 1]}
    more = "def predict(self, x: pd.DataFrame): return x['t'] + x['n'].astype(str)"
    model = loaded(write, find, tmp_path, body, "1", more)
    assert trained.ask(model, {"variables": {"t": "q", "n": 5}}) == {"prediction": "q5"}
    assert schema_of(model)["properties"] == {"n": {"type": "integer"}, "t": {"type": "string"}}
    with pytest.raises(VariablesInvalid, match=r"^t: is missing"):
        trained.ask(model, {"variables": {"n": 5}})
    with pytest.raises(VariablesInvalid, match="n: is no single value"):
        trained.ask(model, {"variables": {"n": [5], "t": "a"}})
    loader.unload(model)


ROWS = {"x": {"a": [1.0, 2.0, None, 4.0], "t": ["u", "v", "u", "v"]}, "y": [0, 1, 0, 1]}
NUMBERS = {"x": {"a": [1.0, 2.0, 3.0], "b": [1, 5, 2]}, "y": [1, 2, 3]}


@pytest.mark.parametrize(
    ("body", "fitted", "row"),
    [
        (NUMBERS, "make_pipeline(Ratio(), Ridge()).fit(x, y)", {"a": 2.0, "b": 1}),
        (NUMBERS, "Ridge().fit(x.to_numpy(), y)", {"b": 1, "a": 2.0}),
        (NUMBERS, "LGBMRegressor(min_child_samples=1).fit(x, y)", {"a": None, "b": 1}),
        (ROWS, "DummyClassifier().fit(x, y)", {"t": "u", "a": 1.0}),
        (ROWS, "make_pipeline(Filled(), Ridge()).fit(x, y)", {"a": None, "t": "u"}),
    ],
)
def test_one_row_has_the_columns_and_types_of_the_version(
    write: Write, find: Find, tmp_path: Path, body: Any, fitted: str, row: dict[str, Any]
) -> None:
    """`variables` is answered as the same row of a table, whatever the estimator knows of them."""
    more = """x = 1
from lightgbm import LGBMRegressor
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

class Ratio(TransformerMixin, BaseEstimator):
    def fit(self, x, y=None): return self
    def transform(self, x): return x.assign(ratio=x["a"] / x["b"])

class Filled(Ratio):
    def transform(self, x): return x[["a"]].fillna(x["a"].dtype.itemsize)
"""
    model = loaded(write, find, tmp_path, body, fitted, more)
    table = trained.ask(model, {"x": {name: [value] for name, value in row.items()}})
    assert trained.ask(model, {"variables": row})["prediction"] == table["y"][0]
    several = call_batch(model, [bind(model, row), bind(model, {**row, "more": 1})])
    assert [one["prediction"] for one in several] == table["y"] * 2
    assert set(schema_of(model)["properties"]) == set(row)
    with pytest.raises(VariablesInvalid, match="a: Field required"):
        trained.ask(model, {"variables": {"b": 1, "t": "u"}})
    loader.unload(model)


@pytest.mark.parametrize(
    ("body", "fitted", "asked", "field"),
    [
        (NUMBERS, "Ridge().fit(x, y)", {"x": {"a": [1, None], "b": [1, 2]}}, "x.a"),
        (NUMBERS, "Ridge().fit(x, y)", {"data": [1, None]}, "data.b"),
        (NUMBERS, "Ridge().fit(x, y)", {"data": {"b": [1, None], "a": [1, 2]}}, "data.b"),
        (NUMBERS, "Ridge().fit(x, y)", {"variables": {"a": None, "b": 1}}, "a"),
        (NUMBERS, "Both().fit(x, y)", {"variables": {"a": None, "b": 1}}, "a"),
        (NUMBERS, "(lambda x: [int(v) for v in x['a']])", {"variables": {"a": None, "b": 1}}, "a"),
    ],
)
def test_missing_values_of_a_model_that_takes_none(
    write: Write, find: Find, tmp_path: Path, body: Any, fitted: str, asked: Any, field: str
) -> None:
    """The client has sent them: its error, and not the model's."""
    more = """x = 1
from sklearn.linear_model import Ridge

class Both(Ridge):
    def fit(self, x, y):
        super().fit(x.to_numpy(), y)
        del self.n_features_in_
        return self
"""
    model = loaded(write, find, tmp_path, body, fitted, more)
    with pytest.raises(VariablesInvalid) as caught:
        trained.ask(model, asked)
    assert [one.field for one in caught.value.fields] == [field]
    loader.unload(model)


def test_what_a_model_raises_with_missing_values_that_it_knows(
    write: Write, find: Find, tmp_path: Path
) -> None:
    """It was fitted with some, so that it is not the client's error; nor without any."""
    more = "def predict(self, x): raise ValueError('a NaN of my own')"
    body = {"x": {"a": [1, None], "b": [1, 2]}, "y": [0, 1]}
    model = loaded(write, find, tmp_path, body, "7", more)
    for a in (None, 1):
        with pytest.raises(ValueError, match="my own"):
            trained.ask(model, {"x": {"a": [a], "b": [1]}})
    loader.unload(model)


def test_async_models(write: Write, find: Find, tmp_path: Path) -> None:
    """Tables and variables are awaited alike."""
    body = {"x": [[1], [2]], "y": [0, 1]}
    model = loaded(
        write, find, tmp_path, body, "7", "async def predict(self, x): return [self.model]"
    )
    assert model.is_async
    assert asyncio.run(model.call(TABLES.decode(b'{"x": [[1]]}'))) == {"y": [7]}
    assert asyncio.run(model.call({"x": [1]})) == {"prediction": 7}
    with pytest.raises(ModelRaised, match="predict returned 1 values for 2 rows"):
        asyncio.run(model.call(TABLES.decode(b'{"x": [[1], [2]]}')))
    loader.unload(model)
    more = "async def transform_predict(self, variables): return {'n': self.model}"
    model = loaded(write, find, tmp_path, body, "7", more)
    assert asyncio.run(model.call(TABLES.decode(b'{"x": [[1], [2]]}'))) == {"y": [{"n": 7}] * 2}
    assert asyncio.run(model.call({})) == {"n": 7}
    loader.unload(model)


def test_texts(write: Write, find: Find, tmp_path: Path) -> None:
    """A list of texts is a column, as a vectorizer takes it."""
    fitted = "make_pipeline(CountVectorizer(), LogisticRegression()).fit(x, y)"
    more = (
        "x = 1\nfrom sklearn.pipeline import make_pipeline\n"
        "from sklearn.feature_extraction.text import CountVectorizer\n"
        "from sklearn.linear_model import LogisticRegression"
    )
    body = {"x": ["good film", "bad film"], "y": ["+", "-"]}
    model = loaded(write, find, tmp_path, body, fitted, more)
    assert trained.ask(model, {"x": ["so good", "so bad"]}) == {"y": ["+", "-"]}
    assert trained.ask(model, {"variables": {"x": "good"}})["prediction"] == "+"
    loader.unload(model)


def test_several_outputs(write: Write, find: Find, tmp_path: Path) -> None:
    """A list for each row, also of probabilities; in an orient a column for each."""
    fitted = "DecisionTreeClassifier().fit(x, y)"
    more = "x = 1\nfrom sklearn.tree import DecisionTreeClassifier"
    body = {"x": [[1], [2]], "y": [[0, 1], [1, 0]]}
    model = loaded(write, find, tmp_path, body, fitted, more)
    assert trained.ask(model, {"x": [[1], [2]]}) == {"y": [[0, 1], [1, 0]]}
    found = trained.ask(model, {"data": {"a": [1]}})
    assert found == {"predict": [[0, 1]], "predict_proba": [[[1.0, 0.0], [0.0, 1.0]]]}
    oriented = trained.ask(model, {"x": [[1]], "orient": "values"})
    assert oriented == {"y": [[0, 1]]}
    assert trained.ask(model, {"x": {"a": [1]}, "orient": "list"}) == {"y": {"y0": [0], "y1": [1]}}
    loader.unload(model)


@pytest.mark.parametrize(
    ("fitted", "message"),
    [
        ("{'a': 1}", "the fitted object is a dict, which has no predict"),
        ("DBSCAN().fit(x)", "the fitted object is a DBSCAN, which has no predict"),
        ("Ridge()", "holds a Ridge that is not fitted"),
    ],
)
def test_what_cannot_predict_is_refused(
    write: Write, find: Find, tmp_path: Path, fitted: str, message: str
) -> None:
    """When it is loaded, which a job does before it offers the version."""
    with pytest.raises(ModelBroken) as caught:
        loaded(write, find, tmp_path, {"x": [[1]], "y": [1]}, fitted,
               "x = 1\nfrom sklearn.linear_model import Ridge\nfrom sklearn.cluster import DBSCAN"
        )  # fmt: skip
    assert message in fault_of(caught.value).message


@pytest.mark.parametrize("answer", ["5", "'text'", "[1]", "None", "[[1], [2], [3]]"])
def test_answers_that_are_not_one_for_each_row(
    write: Write, find: Find, tmp_path: Path, answer: str
) -> None:
    """The model is blamed, by what it returned."""
    more = f"def predict(self, x): return {answer}"
    model = loaded(write, find, tmp_path, {"x": [[1]], "y": [1]}, "1", more)
    with pytest.raises(ModelRaised, match="predict returned"):
        trained.ask(model, {"x": [[1], [2]]})
    loader.unload(model)
