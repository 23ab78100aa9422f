"""A compiled form that answers otherwise is found, however small and wherever the difference is."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from threadpoolctl import threadpool_limits

from modelsync.models.artefacts import estimators
from modelsync.models.artefacts.format import LoadedArtefact
from modelsync.models.equality import proof, proof_rows
from modelsync.models.equality.proof import Proof, compare, prove

RANDOM = np.random.default_rng(0)
COUNT = 240
FRAME = pd.DataFrame(
    {
        "age": RANDOM.integers(18, 80, COUNT).astype(float),
        "income": RANDOM.normal(50_000, 15_000, COUNT),
        "city": RANDOM.choice(["Bern", "Genf", "Zug"], COUNT),
    }
)
NUMBERS = FRAME[["age", "income"]]
SCORE = FRAME.age / 80 + FRAME.income / 1e5 + (FRAME.city == "Bern") * 0.3
LABELS = np.where(SCORE + RANDOM.normal(size=COUNT) * 0.1 > 1.2, "yes", "no")

Call = Callable[[list[Any]], list[Any]]
Mutate = Callable[[Any], Any]


def pipeline(last: Any) -> Any:
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["age", "income"]),
            ("city", OneHotEncoder(handle_unknown="ignore"), ["city"]),
        ]
    )
    return Pipeline([("columns", columns), ("last", last)]).fit(FRAME, LABELS)


def proven(estimator: Any, change: Callable[[LoadedArtefact], Call]) -> Proof:
    """The proof of a call that stands in for a compiled form."""
    artefact = estimators.adapt(estimator, "model.pkl")
    assert artefact.target
    with threadpool_limits(1):
        rows = proof_rows.make(artefact.target, 400, call=artefact.batch.call)
        changed = change(artefact)
        names = artefact.target.names
        return prove(artefact.batch.call, changed, rows, 1e-6, labels=True, names=names)


def mutated(change: Callable[[Any], None]) -> Callable[[LoadedArtefact], Call]:
    """Returns the call of a copy of the estimator in which something is changed."""

    def make(artefact: LoadedArtefact) -> Call:
        other = copy.deepcopy(artefact.instance)
        change(other)
        return estimators.adapt(other, "model.pkl").batch.call

    return make


def in_single_precision(artefact: LoadedArtefact) -> Call:
    """The call of an estimator whose numbers were of 32 bits before."""

    def call(rows: list[Any]) -> list[Any]:
        with np.errstate(over="ignore"):
            single = [
                tuple(
                    float(np.float32(one)) if isinstance(one, int | float) else one for one in row
                )
                for row in rows
            ]
        return artefact.batch.call(single)

    return call


def move_split(tree: Any, node: int) -> None:
    """Move a split by one ulp of 32 bits, in which scikit-learn's trees compare."""
    values = tree.tree_.threshold
    values[node] = np.nextafter(np.float32(values[node]), np.float32(np.inf))


def deepest_split(tree: Any) -> int:
    """The last node that has two leaves below it."""
    found = tree.tree_
    return int(np.flatnonzero(found.children_left > 0)[-1])


def swap_classes(model: Any) -> None:
    model.classes_ = model.classes_[::-1]


def move_histogram(model: Any) -> None:
    nodes = model._predictors[3][0].nodes
    place = int(np.flatnonzero(nodes["is_leaf"] == 0)[-1])
    nodes["num_threshold"][place] = np.nextafter(nodes["num_threshold"][place], np.inf)


def turn_missing(model: Any) -> None:
    nodes = model._predictors[3][0].nodes
    place = int(np.flatnonzero(nodes["is_leaf"] == 0)[0])
    nodes["missing_go_to_left"][place] ^= 1


def know_unknown(model: Any) -> None:
    """Have an unknown city be the first that is known."""
    encoder = model.named_steps["columns"].named_transformers_["city"]
    transform = encoder.transform
    known = list(encoder.categories_[0])
    encoder.transform = lambda x: transform(x.where(x.isin(known), known[0]))


def cut_blanks(model: Any) -> None:
    encoder = model.named_steps["columns"].named_transformers_["city"]
    transform = encoder.transform
    encoder.transform = lambda x: transform(x.map(lambda one: one.strip() if one else one))


FOREST = RandomForestClassifier(20, random_state=0)

MUTATIONS: dict[str, tuple[Any, Callable[[LoadedArtefact], Call]]] = {
    "a split of a tree, one ulp": (
        DecisionTreeClassifier(random_state=0).fit(NUMBERS, LABELS),
        mutated(lambda model: move_split(model, 0)),
    ),
    "the deepest split of a tree, one ulp": (
        DecisionTreeClassifier(random_state=0).fit(NUMBERS, LABELS),
        mutated(lambda model: move_split(model, deepest_split(model))),
    ),
    "a deep split of a forest behind a scaler, one ulp": (
        pipeline(FOREST),
        mutated(lambda model: move_split(tree := model[-1].estimators_[7], deepest_split(tree))),
    ),
    "a split of gradient boosting, one ulp of 64 bits": (
        HistGradientBoostingClassifier(max_iter=10).fit(NUMBERS, LABELS),
        mutated(move_histogram),
    ),
    "missing values go to the other side": (
        HistGradientBoostingClassifier(max_iter=10).fit(
            NUMBERS.mask(RANDOM.random(NUMBERS.shape) < 0.1), LABELS
        ),
        mutated(turn_missing),
    ),
    "classes are swapped": (
        pipeline(LogisticRegression()),
        mutated(lambda model: swap_classes(model[-1])),
    ),
    "labels alone are swapped": (
        pipeline(LinearSVC()),
        mutated(lambda model: swap_classes(model[-1])),
    ),
    "an unknown category is the first": (pipeline(LogisticRegression()), mutated(know_unknown)),
    "blanks around a category are cut off": (
        pipeline(LogisticRegression()),
        mutated(cut_blanks),
    ),
    "a smooth boundary in 32 bits": (pipeline(LogisticRegression()), in_single_precision),
    "a boundary without probabilities in 32 bits": (pipeline(LinearSVC()), in_single_precision),
    "splits of 64 bits in 32 bits": (
        HistGradientBoostingClassifier(max_iter=10).fit(NUMBERS, LABELS),
        in_single_precision,
    ),
    "the scale of a column, by a millionth": (
        pipeline(LogisticRegression()),
        mutated(lambda model: scale_by(model, 1 + 3e-6)),
    ),
}


def scale_by(model: Any, factor: float) -> None:
    model.named_steps["columns"].named_transformers_["numbers"].scale_[1] *= factor


@pytest.fixture(autouse=True)
def few_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The forms of these tests are estimators, which take milliseconds for each call."""
    monkeypatch.setattr(proof, "MOST_ALONE", 40)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_difference_is_found(name: str) -> None:
    """A form that is wrong in one place is not equal, and the row on which it is wrong is told."""
    estimator, change = MUTATIONS[name]
    found = proven(estimator, change)
    assert not found.holds
    assert re.match(r"\d+ of \d+ rows differ; the first is {", found.difference)


@pytest.mark.parametrize(
    "estimator",
    [
        pipeline(LogisticRegression()),
        pipeline(FOREST),
        pipeline(LinearSVC()),
        HistGradientBoostingClassifier(max_iter=10).fit(NUMBERS, LABELS),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_copy_is_equal(estimator: Any) -> None:
    found = proven(estimator, mutated(lambda _: None))
    assert found.holds, found.difference
    assert found.max_difference is None or found.max_difference < 1e-9


def test_trees_compare_in_single_precision() -> None:
    """The trees of scikit-learn read their inputs with 32 bits: so may their compiled form."""
    model = DecisionTreeRegressor(random_state=0).fit(NUMBERS, SCORE)
    found = proven(model, in_single_precision)
    assert found.holds, found.difference


# --- what counts as equal -------------------------------------------------------------------------


def answers(*values: Any) -> list[dict[str, Any]]:
    return [{"prediction": value} for value in values]


def probable(label: Any, **probabilities: float) -> list[dict[str, Any]]:
    return [{"prediction": label, "probabilities": probabilities}]


@pytest.mark.parametrize(
    ("expected", "got", "labels", "equal"),
    [
        (answers(100.0), answers(100.00009), False, True),
        (answers(100.0), answers(100.00011), False, False),
        (answers(1e-9, 5.0), answers(1.1e-9, 5.0), False, False),
        (answers(1e-12, 5.0, 6.0), answers(-1e-12, 5.0, 6.0), False, True),
        (answers(float("nan")), answers(float("nan")), False, True),
        (answers(1.0), answers(float("nan")), False, False),
        (answers([1.0, 2.0]), answers([1.0, 2.1]), False, False),
        (answers([1.0, 2.0]), answers([1.0]), False, False),
        (answers(1), answers(1.0), False, False),
        (answers(1), answers(True), False, False),
        (answers("1"), answers(1), False, False),
        (answers(0.1), answers(0.10000000149011612), True, False),
        (answers(np.float32(0.1)), answers(0.1), True, True),
        (probable("a", a=0.9, b=0.1), probable("a", a=0.9, b=0.1000002), False, False),
        (probable("a", a=1.0, b=1e-13), probable("a", a=1.0, b=0.0), False, True),
        (probable("a", a=1.0, b=1e-11), probable("a", a=1.0, b=0.0), False, False),
        (probable(1.0, a=1.0), probable(1.0000001, a=1.0), False, False),
        (probable("a", a=1.0, b=0.0), probable("a", b=0.0, a=1.0), False, True),
        (probable("a", a=1.0, b=0.0), probable("a", a=1.0, c=0.0), False, False),
    ],
)
def test_what_is_equal(expected: list[Any], got: list[Any], labels: bool, equal: bool) -> None:
    """Numbers to a millionth, labels and their types exactly, as a client reads them."""
    found = compare(list(range(len(got))), expected, got, 1e-6, labels=labels)
    assert (found.difference == "") is equal, found


def linear() -> LoadedArtefact:
    return estimators.adapt(LinearRegression().fit(NUMBERS, SCORE), "model.pkl")


def test_a_wrong_batch_is_found() -> None:
    """A form that is right for one row and wrong for sixteen is not equal."""
    call = linear().batch.call
    rows = [(float(age), 1e4) for age in range(40)]
    found = prove(
        call, lambda rows: call(rows)[::-1] if len(rows) == 16 else call(rows), rows, 1e-6
    )
    assert found.difference.startswith("among 16 rows, not among all, 32 of 40 rows differ")


def test_what_the_estimator_refuses_must_be_refused() -> None:
    call = linear().batch.call
    rows = [(1.0, 2.0), (1.0, None), (3.0, 4.0)]
    found = prove(call, lambda rows: answers(*(0.5 for _ in rows)), rows[1:2], 1e-6)
    assert "raises VariablesInvalid, compiled it answers" in found.difference
    assert prove(call, call, rows, 1e-6).holds


def test_a_form_that_falls_back_everywhere_proves_nothing() -> None:
    def broken(rows: list[Any]) -> list[Any]:
        raise RuntimeError

    found = prove(linear().batch.call, broken, [(1.0, 2.0)] * 20, 1e-6)
    assert (found.difference, found.raised, found.holds) == ("", 20, False)


def test_an_estimator_that_answers_by_chance_is_not_equal_to_itself() -> None:
    chance = np.random.default_rng(0)
    call: Call = lambda rows: answers(*chance.random(len(rows)).tolist())  # noqa: E731
    assert "alone otherwise than among others" in prove(call, call, [(1.0,)] * 20, 1e-6).difference
