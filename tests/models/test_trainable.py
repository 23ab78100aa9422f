"""Training a loaded model: the signatures of its methods, parameters, what they may return."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from modelsync.errors import DataInvalid, JobFailed, NotTrainable
from modelsync.models.loading import loader
from modelsync.models.tables import bodies
from modelsync.models.training.trainable import Fitted, Trainable
from modelsync.models.types import LoadedModel
from tests.models import trained
from tests.models.conftest import Find, Load, Write

FRAME = {"x": {"a": [1, 2, 3], "b": ["p", "q", None]}, "y": {"kind": ["u", "v", "u"]}}
ROWS = {"x": [[1, 2], [3, 4]], "y": [0, 1]}


def class_of(method: str, more: str = "") -> str:
    """A model whose `fit` (or another method) keeps what it was called with."""
    imports = "import pandas as pd, polars as pl, numpy as np\nfrom pathlib import Path\n"
    return f"{imports}class Churn:\n    {method}\n{more}"


def seen(serve: Load, signature: str, body: Any = ROWS, **params: Any) -> Any:
    """What `fit` with this signature was called with."""
    names = "{name: value for name, value in locals().items() if name != 'self'}"
    model = serve(class_of(f"def fit({signature}): return {names}"))
    return trained.fitted(model, body, **params).model


@pytest.mark.parametrize(
    "signature",
    ["self, x, y", "self, X, y=None", "self, df, target", "self, x, labels=None", "self, *, x, y"],
)
def test_ordinary_signatures(serve: Load, signature: str) -> None:
    """The first parameter is the data, the second is what is to be predicted."""
    x, y = seen(serve, signature).values()
    assert x.tolist() == [[1, 2], [3, 4]]
    assert y.tolist() == [0, 1]


def test_frames(serve: Load) -> None:
    """Columns with names are a DataFrame, a target with a name a Series; missing texts are NaN."""
    found = seen(serve, "self, x, y", FRAME)
    assert list(found["x"].columns) == ["a", "b"]
    assert found["x"]["b"].isna().tolist() == [False, False, True]
    assert (found["y"].name, found["y"].tolist()) == ("kind", ["u", "v", "u"])
    outputs = seen(serve, "self, x, y", {"x": [[1], [2]], "y": [[0, 1], [1, 0]]})
    assert outputs["y"].tolist() == [[0, 1], [1, 0]]


def test_annotations_decide(serve: Load) -> None:
    """A list of rows, a dict of columns, an array or a DataFrame, as the parameter says."""
    assert seen(serve, "self, x: list, y")["x"] == [[1, 2], [3, 4]]
    assert seen(serve, "self, x: dict, y")["x"] == {"0": [1, 3], "1": [2, 4]}
    assert seen(serve, "self, x: list[dict], y")["x"] == [{"0": 1, "1": 2}, {"0": 3, "1": 4}]
    assert isinstance(seen(serve, "self, x: pd.DataFrame, y")["x"], pd.DataFrame)
    polars = seen(serve, "self, x: 'pl.DataFrame', y", FRAME)
    assert type(polars["x"]).__module__.startswith("polars")
    assert polars["x"]["b"].to_list() == ["p", "q", None]
    assert polars["y"].to_list() == ["u", "v", "u"]
    assert isinstance(seen(serve, "self, x: 'np.ndarray', y", FRAME)["x"], np.ndarray)


def test_one_table_with_the_target(serve: Load) -> None:
    """A method that takes one table gets the target as its last column, or its name too."""
    [data] = seen(serve, "self, data", FRAME).values()
    assert list(data.columns) == ["a", "b", "kind"]
    assert seen(serve, "self, data").popitem()[1].tolist() == [[1, 2, 0], [3, 4, 1]]
    found = seen(serve, "self, df, target: str", FRAME)
    assert (list(found["df"].columns), found["target"]) == (["a", "b", "kind"], "kind")
    assert seen(serve, "self, x", {"x": [[1], [2]]})["x"].tolist() == [[1], [2]]


def test_params(serve: Load) -> None:
    """Those of the signature, of its types, with its defaults; `**` takes any other."""
    signature = (
        "self, x, y, *, depth: int = 3, kind: str = 'gini', weights: list[float] | None = None"
    )
    found = seen(serve, signature, depth="5", weights=[1, 2])
    assert (found["depth"], found["kind"], found["weights"]) == (5, "gini", [1.0, 2.0])
    assert seen(serve, "self, x, y, depth=3, **more", other=1)["more"] == {"other": 1}
    assert seen(serve, "self, x, y, path: Path = Path()")["path"] == Path()


@pytest.mark.parametrize(
    ("signature", "params", "message"),
    [
        (
            "self, x, y, depth=3",
            {"dept": 4},
            "fit has no parameter dept; it takes depth (default 3)",
        ),
        ("self, x, y", {"a": 1, "b": 2}, "fit has no parameter a, b; it takes none"),
        ("self, x, y, *, depth", {}, "params: depth: Field required; fit takes depth (required)"),
        ("self, x, y, depth: int = 3", {"depth": "deep"}, "params: depth: "),
        ("self, x, y, **more", {"x": 1}, "fit has no parameter x"),
    ],
)
def test_params_that_do_not_fit(serve: Load, signature: str, params: Any, message: str) -> None:
    """The message names those that exist."""
    with pytest.raises(DataInvalid) as caught:
        seen(serve, signature, **params)
    assert message in str(caught.value)


def test_data_that_does_not_fit(serve: Load) -> None:
    """A target that is missing, whole or in part, is named before the model sees it."""
    with pytest.raises(DataInvalid, match="y is missing: fit takes target"):
        seen(serve, "self, x, target", {"x": [[1]]})
    with pytest.raises(DataInvalid, match="y: 2 of 3 values are missing, the first in row 1"):
        seen(serve, "self, x, y", {"x": [[1], [2], [3]], "y": [1, None, None]})


@pytest.mark.parametrize(
    "method",
    [
        "async def fit(self, x, y): return len(x)",
        "@staticmethod\n    def fit(x, y): return len(x)",
        "@classmethod\n    def fit(cls, x, y): return len(x)",
        "def fit(self, x, y): self.model = len(x)",
        "def fit(self, x, y):\n        self.model = len(x)\n        return self",
        "def fit(self, x, y): return len(x), {}",
    ],
)
def test_ways_to_give_the_fitted_object(serve: Load, method: str) -> None:
    """It is returned, or set as `self.model`; all kinds of methods are called."""
    model = serve(class_of(method))
    assert trained.fitted(model, ROWS).model == 2
    assert model.instance.model == 2


def test_a_model_that_fits_itself(write: Write, find: Find, tmp_path: Path) -> None:
    """As scikit-learn's do: what `fit` has set on `self` is stored, and nothing else of it."""
    write("Churn", class_of("def __init__(self, path):\n        import threading\n"
        "        self.path, self.lock, self.seen = path, threading.Lock(), []\n"
        "    def fit(self, x, y):\n        self.mean_ = sum(y) / len(y)\n"
        "        self.seen.append(1)\n        return self\n"
        "    def transform_predict(self, variables):\n"
        "        return {'mean': self.mean_, 'path': self.path, 'seen': self.seen}\n"))  # fmt: skip
    version = trained.fit(find("Churn"), ROWS, tmp_path)
    write("Moved", (find("Churn").path / "etls.py").read_text().replace("Churn", "Moved"))
    model = loader.load(find("Churn"), fitted=version)
    answer = trained.ask(model, {"variables": {}})
    assert answer == {"mean": 0.5, "path": f"{find('Churn').path}/", "seen": [1]}
    loader.unload(model)


SCALED = """
class Churn:
    def __init__(self):
        from sklearn.preprocessing import StandardScaler
        self.scaler, self.names = StandardScaler(), ["a constructor makes it"]

    def fit(self, x, y):
        from sklearn.linear_model import SGDRegressor
        self.columns, self.scale = list(x.columns), 2.0
        self.model = SGDRegressor(random_state=0)
        self.update(x, y)

    def update(self, x, y):
        self.model.partial_fit(self.scaler.partial_fit(x).transform(x), y)

    def predict(self, x):
        return self.scale * self.model.predict(self.scaler.transform(x[self.columns]))
"""


def test_what_fit_sets_besides_the_model(write: Write, find: Find, tmp_path: Path) -> None:
    """It is stored too, also what it changes in place; an update keeps what it does not change."""
    write("Churn", SCALED)
    body = {"x": {"a": [1.0, 2.0], "b": [3.0, 5.0]}, "y": [0, 1]}
    model = loader.load(find("Churn"), fitted=trained.fit(find("Churn"), body, tmp_path))
    first = trained.ask(model, {"x": body["x"]})
    data = bodies.training(body)
    made = Trainable(model).update(data.x, data.y)
    updated = loader.load(find("Churn"), fitted=trained.store(model, made, tmp_path, number=2))
    assert trained.ask(updated, {"x": body["x"]}) == trained.ask(model, {"x": body["x"]}) != first
    for one in (model, updated):
        loader.unload(one)


def test_the_model_alone_is_stored_where_fit_sets_nothing_else(serve: Load) -> None:
    """Whatever the constructor has made: so a format can be chosen for it."""
    model = serve(class_of("def __init__(self): self.seen = {'a': [1]}\n"
        "    def fit(self, x, y): self.model = len(x)"))  # fmt: skip
    assert trained.fitted(model, ROWS).model == 2


def test_a_score_beside_the_model(serve: Load) -> None:
    """A number that `fit` returns is a metric, if it has set `self.model`; else it is the model."""
    both = "def fit(self, x, y):\n        self.model = 'fitted'\n        return y.mean()"
    found = trained.fitted(serve(class_of(both)), ROWS)
    assert (found.model, found.metrics) == ("fitted", {"score": 0.5})
    assert (
        trained.fitted(serve(class_of("def fit(self, x, y): return y.mean()")), ROWS).model == 0.5
    )


def test_a_method_that_gives_nothing(serve: Load) -> None:
    """There would be nothing to store."""
    with pytest.raises(JobFailed, match=r"fit must return the fitted model, or set self\.model"):
        trained.fitted(serve(class_of("def fit(self, x, y): pass")), ROWS)


METRICS = """
    def metrics(self, x, y): return {"rows": len(x), "bias": np.float64(y.mean()), "bad": np.nan}
    def accept(self, new, old): return new["auc"] > old["auc"], "it is worse"
"""


def test_metrics(serve: Load) -> None:
    """Beside the fitted object, and from a method of their own; JSON holds them."""
    model = serve(class_of("def fit(self, x, y): return 1, {'auc': np.float32(0.5)}", METRICS))
    found = trained.fitted(model, ROWS)
    assert (found.model, found.metrics) == (1, {"auc": 0.5, "rows": 2, "bias": 0.5, "bad": None})


def test_accept(serve: Load) -> None:
    """It compares the metrics with those of the current version; the first one has none."""
    trainable = Trainable(serve(class_of("def fit(self, x, y): return 1", METRICS)))
    assert trainable.accept({"auc": 0.9}, {"auc": 0.8}) == ""
    refused = "accept(new_metrics, old_metrics) refused it: it is worse"
    assert trainable.accept({"auc": 0.7}, {"auc": 0.8}) == refused
    assert trainable.accept({"auc": 0.7}, None) == ""
    raised = "accept raised KeyError: 'auc' (the new metrics: none)"
    assert trainable.accept({}, {"auc": 0.8}) == raised
    assert trainable.promote
    model = serve(class_of("promote = 'manual'; serializer = 'skops'\n    def fit(self, x): ..."))
    assert (Trainable(model).promote, Trainable(model).serializer) == (False, "skops")
    assert Trainable(model).accept({}, {}) == ""


def test_train_fetches_its_own_data(serve: Load) -> None:
    """`train` takes parameters only; what it lacks is said."""
    model = serve(class_of("def train(self, rows: int = 5): return [0] * rows"))
    assert Trainable(model).train().model == [0] * 5
    assert Trainable(model).train({"rows": 2}).model == [0, 0]
    with pytest.raises(DataInvalid, match="train has no parameter depth; it takes rows"):
        Trainable(model).train({"depth": 1})
    with pytest.raises(NotTrainable, match="Churn has no fit method"):
        Trainable(model).fit([[1]])
    with pytest.raises(NotTrainable, match="Churn has no train method"):
        Trainable(serve(class_of("def fit(self, x): ..."))).train()


def test_files_are_opened_relative_to_the_folder(write: Write, find: Find) -> None:
    """As while a model loads; also in a generator and an `async def`."""
    code = "def train(self):\n        yield 1\n        return open('rows.csv').read()\n"
    more = "    async def fit(self, x): return open('rows.csv').read()\n"
    write("Churn", class_of(code, more), {"rows.csv": "1,2"})
    before = Path.cwd()
    model = loader.load(find("Churn"))
    assert Trainable(model).train().model == "1,2"
    assert trained.fitted(model, {"x": [[1]]}).model == "1,2"
    assert Path.cwd() == before
    loader.unload(model)


def test_progress(serve: Load) -> None:
    """A method that is a generator yields its progress."""
    told: list[Any] = []
    model = serve(
        class_of("def train(self):\n        yield 0.5\n        yield 'half'\n        return 7")
    )
    assert Trainable(model, told.append).train().model == 7
    assert told == [0.5, "half"]


# --- update ---------------------------------------------------------------------------------------

SGD = "def fit(self, x, y, **p): return SGDClassifier(random_state=0).fit(x, y)"
TOP = "from sklearn.linear_model import SGDClassifier\n"


def updated(model: LoadedModel, body: Any) -> Fitted:
    data = bodies.training(body)
    return Trainable(model).update(data.x, data.y)


def test_partial_fit_of_what_was_fitted(write: Write, find: Find, tmp_path: Path) -> None:
    """A model without `update` is updated by its estimator, with the columns of its version."""
    write("Churn", TOP + class_of(SGD))
    body = {"x": {"a": [1, 2], "b": [3, 4]}, "y": ["u", "v"]}
    version = trained.fit(find("Churn"), body, tmp_path)
    model = loader.load(find("Churn"), fitted=version, writable=True)
    before = model.instance.model.coef_.copy()
    made = updated(model, {"x": {"b": [1, 9], "a": [5, 1], "c": [0, 0]}, "y": ["v", "u"]})
    assert made.inputs == version.inputs
    assert (made.model.coef_ != before).any()
    with pytest.raises(DataInvalid, match=r"x\.b: is missing"):
        updated(model, {"x": {"a": [1]}, "y": ["u"]})
    with pytest.raises(DataInvalid, match="not fitted with: w; it knows u, v; fit it anew"):
        updated(model, {"x": {"a": [1], "b": [1]}, "y": ["w"]})
    with pytest.raises(DataInvalid, match="y is missing"):
        updated(model, {"x": {"a": [1], "b": [1]}})
    loader.unload(model)


def test_the_first_call_of_partial_fit_gets_the_classes(serve: Load) -> None:
    """An estimator that `fit` has returned as it was made."""
    model = serve(TOP + class_of("def fit(self, x, y): return SGDClassifier()"))
    trained.fitted(model, ROWS)
    assert updated(model, ROWS).model.classes_.tolist() == [0, 1]


def test_own_update(serve: Load) -> None:
    """`self.model` is that of the parent."""
    more = "    def update(self, x, y): return self.model + len(x)\n"
    model = serve(class_of("def fit(self, x, y): return 10", more))
    trained.fitted(model, ROWS)
    assert updated(model, ROWS).model == 12
    assert updated(model, ROWS).model == 14  # batch after batch


PIPELINE = """make_pipeline(StandardScaler(), SGDClassifier()).fit(x, y)"""


@pytest.mark.parametrize(
    ("top", "made", "message"),
    [
        ("from sklearn.tree import DecisionTreeClassifier", "DecisionTreeClassifier().fit(x, y)",
         "its fitted DecisionTreeClassifier has no partial_fit; fit it anew with PUT"),
        (TOP + "from sklearn.pipeline import make_pipeline\n"
         "from sklearn.preprocessing import StandardScaler", PIPELINE,
         "though its last step SGDClassifier has; write update(self, x, y)"),
    ],
)  # fmt: skip
def test_models_that_cannot_be_updated(serve: Load, top: str, made: str, message: str) -> None:
    """The reason, and what to write."""
    model = serve(f"{top}\n{class_of(f'def fit(self, x, y): return {made}')}")
    with pytest.raises(NotTrainable, match="has no fitted version to update: fit one with PUT"):
        updated(model, ROWS)
    trained.fitted(model, ROWS)
    with pytest.raises(NotTrainable) as caught:
        updated(model, ROWS)
    assert message in str(caught.value)
    assert "PATCH" not in caught.value.allowed


def test_data_of_a_library(serve: Load) -> None:
    """Batches come as DataFrames; they are described as tables are."""
    model = serve(class_of("def fit(self, data): return list(data.columns)"))
    made = Trainable(model).fit(pd.DataFrame({"a": [1.5]}), pd.Series([2], name="kind"))
    assert made.model == ["a", "kind"]
    assert made.inputs
    assert (made.inputs.columns[0].dtype, made.inputs.target) == ("float64", made.inputs.target)


def test_what_is_in_memory_answers(serve: Load) -> None:
    """Before it is stored, a job can ask it what the stored one must answer too."""
    model = serve(trained.FOREST, name="Forest")
    trainable = Trainable(model)
    before = trainable.predicts
    body = {"x": trained.FLOWERS, "y": trained.KINDS}
    made = trained.fitted(model, body)
    trainable.adopt(made)
    table = bodies.prediction({"x": {"petal": [1.4], "sepal": [5.1]}})
    assert (before, trainable.predicts) == (False, True)
    assert trainable.predict(table) == {"y": ["setosa"]}
    assert trained.ask(model, {"variables": {"petal": 6, "sepal": 6}})["prediction"] == "virginica"
