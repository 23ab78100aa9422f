"""The static analysis of models that are trained: the class, and which methods it has."""

from __future__ import annotations

import pytest

from tests.models.code import fault_of
from tests.models.conftest import Find, Write

FIT = "class {}:\n    def fit(self, x, y): ...\n"
SCALER = "class Scaler:\n    def fit(self, x): ...\n    def transform(self, x): ...\n"
PREDICTS = "class Other:\n    def transform_predict(self, v): return {}\n"
ESTIMATOR = (
    "class Mine(BaseEstimator):\n    def fit(self, x, y): ...\n    def predict(self, x): ...\n"
)
INHERITED = FIT.format("Base") + "class Child(Base):\n    def predict(self, x): ...\n"


@pytest.mark.parametrize(
    ("etls", "chosen", "methods"),
    [
        (FIT.format("Anything"), "Anything", ("fit",)),
        (FIT.format("Other") + FIT.format("Churn"), "Churn", ("fit",)),
        (SCALER + FIT.format("Forest"), "Forest", ("fit",)),
        (SCALER + PREDICTS, "Other", ()),
        (ESTIMATOR + FIT.format("Forest"), "Forest", ("fit",)),
        (ESTIMATOR, "Mine", ("fit", "predict")),
        (INHERITED, "Child", ("fit", "predict")),
        (SCALER.replace("Scaler", "Churn"), "Churn", ("fit",)),
        ("class Own:\n    def train(self): ...\n", "Own", ("train",)),
        ("class Own:\n    def train(self, rows=100): ...\n", "Own", ("train",)),
        ("class Own:\n    def train(self, data, rows=100): ...\n", "Own", ("train",)),
        ("class Own:\n    def train(self, *, data): ...\n", "Own", ("train",)),
        (
            "class Own:\n    def train(self, data): ...\n    def fill(self, date): ...\n",
            "Own",
            ("fill", "train"),
        ),
        (
            "class Own:\n    def train(self): ...\n    def fill(self, frame): ...\n",
            "Own",
            ("train",),
        ),
        (
            "from base import Base\n\n" + SCALER + "class Churn(Base):\n    pass\n",
            "Churn",
            (),
        ),
        (
            PREDICTS + "    def fit(self, x, *, depth): ...\n    def update(self, x): ...\n"
            "    def accept(self, new, old): ...\n    def metrics(self, x, y): ...\n",
            "Other",
            ("accept", "fit", "metrics", "update"),
        ),
    ],
)
def test_the_class_and_its_methods(
    write: Write, find: Find, etls: str, chosen: str, methods: tuple[str, ...]
) -> None:
    """A class with `fit` or `train` is a model; parts of models beside it are not."""
    write("Churn", etls)
    found = find("Churn")
    assert (found.fault, found.class_name, found.methods) == (None, chosen, methods)
    assert found.trainable == bool({"fit", "train"} & set(methods))


@pytest.mark.parametrize(
    "method",
    [
        "def train(self, mode): ...",  # of torch
        "def train(self, data, mode): ...",
        "def fit(self): ...",  # a step of __init__
        "def update(self, x): ...",  # nothing trains it
        "def predict(self, x): ...",
    ],
)
def test_methods_of_another_meaning_make_no_model_trainable(
    write: Write, find: Find, method: str
) -> None:
    """What a plain model calls `train` or `update` does not change how it is served."""
    write("Churn", f"{PREDICTS}    {method}\n")
    assert (find("Churn").fault, find("Churn").methods) == (None, ())


def test_a_transformer_alone_is_refused_with_what_to_do(write: Write, find: Find) -> None:
    """It may have been meant as a helper: the fault says how it becomes the model."""
    write("Churn", SCALER)
    fault = fault_of(find("Churn"))
    assert "Scaler has fit and transform, which makes it a transformer" in fault.message
    assert "write class Churn with fit(self, x, y)" in str(fault.hint)
    assert "name Scaler Churn" in str(fault.hint)


def test_several_models_are_refused_by_name(write: Write, find: Find) -> None:
    """Where no rule chooses, the fault names the candidates."""
    write("Churn", FIT.format("One") + FIT.format("Two"))
    fault = fault_of(find("Churn"))
    assert "One (line 1), Two (line 3)" in fault.message
    assert fault.hint == "name the one that is the model Churn"


def test_training_does_not_make_predictions_single_threaded(write: Write, find: Find) -> None:
    """Only what a prediction writes makes calls wait for each other."""
    trains = PREDICTS + "    def fit(self, x, y): self.model = 1\n    def train(self): self.n = 2\n"
    write("Churn", trains)
    write("Writes", FIT.format("Writes") + "    def predict(self, x): self.last = x\n")
    assert not find("Churn").writes_self
    assert find("Writes").writes_self


def test_an_async_predict_is_seen(write: Write, find: Find) -> None:
    """A fit-only class is awaited if its `predict` is; beside a plain method that is refused."""
    write("Churn", FIT.format("Churn") + "    async def predict(self, x): ...\n")
    assert find("Churn").is_async
    write("Both", PREDICTS + "    def fit(self, x): ...\n    async def predict(self, x): ...\n")
    assert "async def predict beside a plain def" in fault_of(find("Both")).message


def test_methods_of_a_base_in_another_file(write: Write, find: Find) -> None:
    """A folder may keep its base class in a module of its own."""
    base = FIT.format("Base") + "    def update(self, x, y): ...\n"
    write("Churn", "from base import Base\n\nclass Churn(Base):\n    pass\n", {"base.py": base})
    assert (find("Churn").class_name, find("Churn").methods) == ("Churn", ("fit", "update"))
