"""`modelsync.compiled` in a class: its answers, errors and attributes are the estimator's own."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import threading
import warnings
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cloudpickle
import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, clone, is_classifier
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.validation import check_is_fitted

import modelsync
from modelsync.models.check import class_compilation
from modelsync.models.compiled import estimator_forms, fingerprint
from modelsync.models.compiled.estimator_form import EstimatorForm
from modelsync.models.compiled.unchanged import Unchanged
from modelsync.models.discovery.folders import discover
from modelsync.models.loading import lifecycle, loader
from modelsync.models.types import LoadedModel, ModelSpec

ETLS = """
import joblib
import modelsync
import pandas as pd

class Churn:
    def __init__(self, path):
        self.people = modelsync.compiled(joblib.load(path + "people.joblib"))
        self.prices = modelsync.compiled(joblib.load(path + "prices.joblib"))

    def transform_predict(self, age: float, income: float, city: str):
        people = pd.DataFrame([{"age": age, "income": income, "city": city}])
        return {
            "left": self.people.predict(people)[0],
            "probability": self.people.predict_proba(people)[0, 1],
            "price": self.prices.predict([[age, income]])[0],
        }
"""

RANDOM = np.random.default_rng(0)
PEOPLE = pd.DataFrame(
    {
        "age": RANDOM.uniform(18, 90, 200),
        "income": RANDOM.normal(30_000, 9_000, 200),
        "city": RANDOM.choice(["Bern", "Chur", "Genf"], 200),
    }
)
LEFT = np.where(PEOPLE.age + RANDOM.normal(0, 20, 200) > 50, "yes", "no")
ROW = pd.DataFrame([{"age": 40.5, "income": 25_000.25, "city": "Bern"}])
VARIABLES = {"age": 40.5, "income": 25_000.25, "city": "Bern"}


def people() -> Pipeline:
    columns = make_column_transformer(
        (StandardScaler(), ["age", "income"]),
        (OneHotEncoder(handle_unknown="ignore"), ["city"]),
    )
    return make_pipeline(columns, LogisticRegression()).fit(PEOPLE, LEFT)


def prices(rate: float = 3.0) -> LinearRegression:
    numbers = PEOPLE[["age", "income"]].to_numpy()
    return LinearRegression().fit(numbers, numbers @ [rate, 0.5])


def written(root: Path, etls: str, **estimators: Any) -> ModelSpec:
    """The folder of a class, with an example."""
    folder = root / "models" / "Churn"
    (folder / "examples").mkdir(parents=True)
    (folder / "etls.py").write_text(etls)
    for name, estimator in estimators.items():
        joblib.dump(estimator, folder / f"{name}.joblib")
    text = '{"variables": {"age": 40.5, "income": 25000.25, "city": "Bern"}}'
    (folder / "examples" / "a.json").write_text(text)
    (spec,) = discover(root / "models")
    return spec.below(Path())


def served(spec: ModelSpec, root: Path) -> LoadedModel:
    """The class, compiled and loaded with what came of that."""
    forms = root / "forms"
    found = class_compilation.compile_class(spec, forms, 1e-6)
    assert found
    assert found.state == "compiled", found
    fingerprint.write(forms)
    return loader.load(replace(spec, compiled=forms))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoadedModel]:
    """A class with two estimators, both compiled."""
    root = tmp_path_factory.mktemp("class")
    model = served(written(root, ETLS, people=people(), prices=prices()), root)
    yield model
    loader.unload(model)


@pytest.fixture
def compiled(model: LoadedModel) -> Any:
    """The compiled pipeline."""
    return model.instance.people


def by_estimator(compiled: Any) -> int:
    """How many calls its estimator has answered."""
    count: int = compiled._answering.fallbacks
    return count


def state(estimator: Any) -> str:
    """Whether an estimator is compiled here."""
    found: str = modelsync.compiled(estimator).compilation.state
    return found


def outcome(call: Callable[[], Any]) -> Any:
    """What a call returns, with its type; or what it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = call()
        except Exception as error:
            return type(error), str(error)
    return type(found), found.dtype, found.shape, found.tolist()


def same(one: Any, other: Any) -> bool:
    """Whether two outcomes are the same, but for the last bits of numbers."""
    if not isinstance(one[-1], list) or one[1].kind != "f":
        return bool(one == other)
    return one[:-1] == other[:-1] and np.allclose(one[-1], other[-1], rtol=1e-9, atol=0)


# --- what is called -------------------------------------------------------------------------------

SHAPES: dict[str, Callable[[], Any]] = {
    "one row": lambda: ROW,
    "several rows": lambda: PEOPLE[:50],
    "an integer": lambda: ROW.astype({"age": int}),
    "a truth value": lambda: ROW.assign(age=True),
    "objects": lambda: ROW.astype(object),
    "a transposed Series": lambda: pd.Series(VARIABLES).to_frame().T,
    "another order": lambda: ROW[["city", "income", "age"]],
    "further columns": lambda: ROW.assign(name="Ada")[["name", "city", "age", "income"]],
    "another index": lambda: ROW.set_index(pd.Index(["x"])),
    "a category": lambda: ROW.astype({"city": "category"}),
    "an unknown category": lambda: ROW.assign(city="Atlantis"),
    "far outside": lambda: ROW.assign(income=1e200),
    "a part of a larger one": lambda: PEOPLE[PEOPLE.age > 60],
}
"""What the compiled form answers."""

OTHERS: dict[str, Callable[[], Any]] = {
    "float32": lambda: ROW.astype({"age": np.float32, "income": np.float32}),
    "a nullable integer": lambda: ROW.assign(age=pd.array([40], dtype="Int64")),
    "a missing text": lambda: ROW.assign(city=None),
    "a missing number": lambda: ROW.assign(age=np.nan),
    "infinite": lambda: ROW.assign(age=np.inf),
    "a number in a text": lambda: ROW.assign(age="40"),
    "no number": lambda: ROW.assign(age="old"),
    "a text that is a number": lambda: ROW.assign(city=5),
    "a large integer": lambda: ROW.assign(income=2**60 + 1),
    "no rows": lambda: ROW[:0],
    "a column is missing": lambda: ROW.drop(columns="city"),
    "a column twice": lambda: pd.concat([ROW, ROW[["age"]]], axis=1),
    "an array": lambda: ROW.to_numpy(),
    "a list": lambda: [[40.5, 25_000.25, "Bern"]],
    "dicts": lambda: [VARIABLES],
    "a Series": lambda: ROW.iloc[0],
    "sparse": lambda: sparse.csr_matrix([[40.5, 25_000.25, 1]]),
    "polars": lambda: pl.DataFrame(VARIABLES | {"age": [40.5]}),
    "nothing": lambda: None,
    "many rows": lambda: pd.concat([PEOPLE] * 6),
}
"""What the estimator answers, or refuses."""


@pytest.mark.parametrize("method", ["predict", "predict_proba"])
@pytest.mark.parametrize("name", [*SHAPES, *OTHERS])
def test_the_answers_are_those_of_the_estimator(compiled: Any, name: str, method: str) -> None:
    """And the errors; the form answers what it is proven for, the estimator the rest."""
    x = (SHAPES | OTHERS)[name]()
    before = by_estimator(compiled)
    found = outcome(lambda: getattr(compiled, method)(x))
    assert same(found, outcome(lambda: getattr(compiled.__wrapped__, method)(x)))
    assert by_estimator(compiled) - before == (name in OTHERS)


@pytest.mark.parametrize(
    ("x", "by_form"),
    [
        ([[40.5, 2.0]], True),
        ([[40, 2], [1, 1]], True),
        (np.array([[40.5, 2.0]]), True),
        (np.array([[40, 2]]), True),
        (np.asfortranarray(np.ones((5, 2))), True),
        (np.ones((10, 4))[::2, ::2], True),
        (np.array([[40.5, 2.0]], dtype=np.float32), False),
        (np.ma.masked_array([[40.5, 2.0]]), False),
        ([[40.5, None]], False),
        ([[1.0, 2.0, 3.0]], False),
        ([1.0, 2.0], False),
        ([[1.0], [2.0, 3.0]], False),
        ((40.5, 2.0), False),
    ],
)
def test_arrays_and_lists_are_answered_too(model: LoadedModel, x: Any, by_form: bool) -> None:
    compiled = model.instance.prices
    before = by_estimator(compiled)
    found = outcome(lambda: compiled.predict(x))
    assert same(found, outcome(lambda: compiled.__wrapped__.predict(x)))
    assert by_estimator(compiled) - before == (not by_form)


def test_arguments_have_their_names(compiled: Any) -> None:
    before = by_estimator(compiled)
    assert compiled.predict(X=ROW) == compiled.predict(ROW)
    with pytest.raises(TypeError):
        compiled.predict(ROW, ROW, ROW)
    with pytest.raises(TypeError):
        compiled.predict()
    assert by_estimator(compiled) == before


def test_what_it_returns_may_be_changed(compiled: Any) -> None:
    first = compiled.predict_proba(ROW)
    first += 1
    assert compiled.predict_proba(ROW)[0, 0] < 1


def test_all_other_methods_are_the_estimators(compiled: Any) -> None:
    plain = compiled.__wrapped__
    assert compiled.score(PEOPLE, LEFT) == plain.score(PEOPLE, LEFT)
    assert (compiled.decision_function(ROW) == plain.decision_function(ROW)).all()
    assert (compiled.predict_log_proba(ROW) == plain.predict_log_proba(ROW)).all()
    assert compiled.get_params().keys() == plain.get_params().keys()
    assert not hasattr(compiled, "transform")
    with pytest.raises(AttributeError, match="'Pipeline' object has no attribute 'nothing'"):
        compiled.nothing  # noqa: B018


def test_it_is_the_estimator_for_those_who_ask(compiled: Any) -> None:
    """`isinstance`, scikit-learn's own questions, its length, its steps, its attributes."""
    plain = compiled.__wrapped__
    assert isinstance(compiled, Pipeline)
    assert isinstance(compiled, BaseEstimator)
    assert is_classifier(compiled)
    check_is_fitted(compiled)
    assert repr(compiled) == repr(plain)
    assert len(compiled) == 2
    assert compiled[-1] is plain[-1]
    assert compiled["logisticregression"] is plain[-1]
    assert compiled.classes_ is plain.classes_ or (compiled.classes_ == plain.classes_).all()
    assert vars(compiled) is vars(plain)
    assert {"predict", "steps", "compilation"} <= set(dir(compiled))
    copied: Any = clone(compiled)
    assert type(copied) is Pipeline
    assert not hasattr(copied[-1], "coef_")


def through_joblib(estimator: Any) -> Any:
    file = io.BytesIO()
    joblib.dump(estimator, file)
    return joblib.load(file)


@pytest.mark.parametrize(
    "store",
    [
        lambda one: pickle.loads(pickle.dumps(one)),
        lambda one: pickle.loads(pickle.dumps(one, protocol=2)),
        lambda one: cloudpickle.loads(cloudpickle.dumps(one)),
        through_joblib,
    ],
)
def test_it_is_stored_as_the_estimator(compiled: Any, store: Callable[[Any], Any]) -> None:
    """So that whoever loads it needs nothing of modelsync."""
    loaded = store(compiled)
    assert type(loaded) is Pipeline
    assert (loaded.predict(PEOPLE) == compiled.predict(PEOPLE)).all()


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_is_compiled_too(compiled: Any, copied: Callable[[Any], Any]) -> None:
    other = copied(compiled)
    assert other.__wrapped__ is not compiled.__wrapped__
    assert same(outcome(lambda: other.predict(ROW)), outcome(lambda: compiled.predict(ROW)))
    assert by_estimator(other) == 0


# --- what is found, and what is not ---------------------------------------------------------------


def test_it_tells_how_it_was_proven(model: LoadedModel) -> None:
    compilation = model.instance.people.compilation
    assert compilation.state == "compiled"
    assert compilation.backend
    assert compilation.speedup > 1
    assert compilation.rows >= 2000


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one.fit(np.zeros((4, 5)), [0, 1, 0, 1]),
        lambda one: one[-1].fit(np.zeros((4, 5)), [0, 1, 0, 1]),
        lambda one: one.set_params(standardscaler__with_mean=False),
        lambda one: setattr(one, "intercept_", np.ones(1)),
        lambda one: delattr(one[-1], "coef_"),
    ],
)
def test_a_changed_estimator_answers_itself(change: Callable[[Any], Any]) -> None:
    plain = make_pipeline(StandardScaler(), LogisticRegression())
    plain.fit(PEOPLE[["age", "income"]].to_numpy(), LEFT)
    plain.intercept_ = np.zeros(1)
    unchanged = Unchanged(plain)
    plain[-1].verbose = 1
    plain.note = "an attribute that nobody computes with"
    assert unchanged()
    change(plain)
    assert not unchanged()


def test_a_call_of_the_estimator_is_no_change() -> None:
    columns = make_column_transformer((StandardScaler(), ["a", "b"]))
    table = pd.DataFrame({"a": [0.0, 1.0, 2.0], "b": [1.0, 0.0, 3.0]})
    model = make_pipeline(columns, LogisticRegression()).set_output(transform="pandas")
    unchanged = Unchanged(model.fit(table, [0, 1, 0]))
    model.predict(table)
    assert unchanged()
    model.fit(table, [1, 0, 1])
    assert not unchanged()


def test_a_form_is_for_one_estimator_alone(compiled: Any) -> None:
    """Not for one that was fitted with other data, or in another way."""
    other = people()
    other[-1].coef_ = other[-1].coef_ + 1e-12
    assert state(other) == "off"
    assert state(people()) == "compiled"


def test_to_wrap_it_at_each_call_is_cheap_and_keeps_nothing(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a trained model does, whose `self.model` is set by others."""
    plain = people()
    first = modelsync.compiled(plain)
    looked_up: list[Any] = []
    monkeypatch.setattr(estimator_forms, "digest", looked_up.append)
    assert all(modelsync.compiled(plain)._answering is first._answering for _ in range(100))
    assert not looked_up
    gone, known = weakref.ref(plain), len(estimator_forms._found)
    del plain, first
    gc.collect()
    assert gone() is None
    assert len(estimator_forms._found) == known - 1


def test_outside_of_the_service_it_is_the_estimator() -> None:
    plain = prices(9.0)
    found: Any = modelsync.compiled(plain)
    assert found.compilation.state == "off"
    assert found.predict([[1, 2]]) == plain.predict([[1, 2]])
    assert modelsync.compiled(found) is found
    assert modelsync.compiled(None) is None


@pytest.mark.parametrize("wrong", [LinearRegression, "model.joblib", {"model": 1}, pickle.dumps])
def test_what_is_no_estimator_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"modelsync\.compiled takes a fitted estimator, not"):
        modelsync.compiled(wrong)


PLACES = """
import joblib
import modelsync

top = modelsync.compiled(joblib.load("prices.joblib"))

class Churn:
    def __init__(self, path):
        self.path, self.plain, self.lazy = path, joblib.load(path + "prices.joblib"), None

    def start(self):
        self.started = modelsync.compiled(joblib.load(self.path + "prices.joblib"))

    async def transform_predict(self, age: float, income: float):
        self.lazy = self.lazy or modelsync.compiled(joblib.load(self.path + "prices.joblib"))
        each = modelsync.compiled(self.plain)
        x = [[age, income]]
        return {"prices": [one.predict(x)[0] for one in (top, self.started, self.lazy, each)]}
"""


def test_it_is_found_wherever_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the top of the file, in `start`, in the first call, in each call; when it is unloaded its
    form is gone. Forms that were proven with other libraries are not used.
    """
    spec, forms = written(tmp_path, PLACES, prices=prices(7.0)), tmp_path / "forms"
    found = class_compilation.compile_class(spec, forms, 1e-6)
    assert found
    assert found.state == "compiled", found
    fingerprint.write(forms)
    loaded = loader.load(replace(spec, compiled=forms))
    answered: list[Any] = []
    answer = EstimatorForm.answer

    def noting(self: EstimatorForm, *arguments: Any) -> Any:
        answered.append(answer(self, *arguments))
        return answered[-1]

    monkeypatch.setattr(EstimatorForm, "answer", noting)
    try:
        lifecycle.start(loaded)
        result = lifecycle.wait_here(loaded.context.run(loaded.call, VARIABLES))
    finally:
        loader.unload(loaded)
    assert result == {"prices": [one[0] for one in answered]}
    assert len(answered) == 4
    assert state(prices(7.0)) == "off"
    (forms / "fingerprint").write_text("of another machine")
    estimator_forms.open_folder("other", forms)
    assert state(prices(7.0)) == "off"


def test_it_is_found_in_a_thread_that_the_model_starts(model: LoadedModel) -> None:
    states: list[str] = []

    def find() -> None:
        states.append(state(prices()))

    thread = threading.Thread(target=find)
    thread.start()
    thread.join()
    assert states == ["compiled"]


REFUSED = {
    "fitted anew at each load": (
        "model = modelsync.compiled(LinearRegression().fit(np.random.rand(9, 2), range(9)))",
        "another estimator each time",
    ),
    "a lambda": (
        "model = modelsync.compiled(make_pipeline(FunctionTransformer(lambda x: x),"
        " LinearRegression()).fit(np.ones((9, 2)), range(9)))",
        "cannot be pickled",
    ),
    "a class of its own": (
        "class Mine(LinearRegression):\n    def predict(self, X): return super().predict(X) + 1\n"
        "model = modelsync.compiled(Mine().fit(np.ones((9, 2)), range(9)))",
        "Mine",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_compiled_says_why(tmp_path: Path, name: str) -> None:
    code, reason = REFUSED[name]
    imports = (
        "import modelsync\nimport numpy as np\nfrom sklearn.linear_model import LinearRegression\n"
        "from sklearn.pipeline import make_pipeline\n"
        "from sklearn.preprocessing import FunctionTransformer\n"
    )
    call = "def transform_predict(age: float, income: float):\n"
    call += "    return {'price': model.predict([[age, income]])[0]}\n"
    spec = written(tmp_path, imports + code + "\n" + call)
    found = class_compilation.compile_class(spec, tmp_path / "forms", 1e-6)
    assert found
    assert found.state == "refused"
    assert reason in found.reason
    assert not (tmp_path / "forms").exists()


def test_a_class_that_gives_none_has_none(tmp_path: Path) -> None:
    spec = written(tmp_path, "def transform_predict(age: float):\n    return {'age': age}\n")
    assert class_compilation.compile_class(spec, tmp_path / "forms", 1e-6) is None
