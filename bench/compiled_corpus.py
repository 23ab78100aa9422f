"""The estimators and pipelines that `bench.compiled` compiles: all of scikit-learn that predict and
fit a small table, and what people build of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils import all_estimators

RANDOM = np.random.default_rng(0)
COUNT = 240
FRAME = pd.DataFrame(
    {
        "age": RANDOM.integers(18, 80, COUNT).astype(float),
        "income": RANDOM.normal(50_000, 15_000, COUNT).round(2),
        "city": RANDOM.choice(["Bern", "Genf", "Zug"], COUNT),
        "member": RANDOM.random(COUNT) < 0.5,
    }
)
SCORE = FRAME.age / 80 + FRAME.income / 1e5 + (FRAME.city == "Bern") * 0.3 + FRAME.member * 0.1
LABELS = np.where(SCORE + RANDOM.normal(size=COUNT) * 0.1 > 1.3, "yes", "no")
TARGET = (SCORE * 100 + RANDOM.normal(size=COUNT)).to_numpy()
GAPS = FRAME.assign(
    age=FRAME.age.mask(RANDOM.random(COUNT) < 0.1),
    city=FRAME.city.mask(RANDOM.random(COUNT) < 0.1),
)

TABLE = RANDOM.normal(size=(COUNT, 4)) @ RANDOM.normal(size=(4, 4)) + 3
THREE = np.array(["high", "low", "mid"])[np.digitize(TABLE @ [1, -1, 0.5, 0.2], [2.0, 4.0])]
NUMBERS = TABLE @ [1.5, -2.0, 0.5, 3.0] + RANDOM.normal(size=COUNT) * 0.1
COUNTS = np.abs(TABLE).round()

Fitted = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """An estimator or a pipeline of the corpus. `fit` returns it, fitted."""

    group: str
    name: str
    fit: Fitted


# --- all_estimators -------------------------------------------------------------------------------

_PARTS: Mapping[str, Callable[[], Mapping[str, Any]]] = {
    "VotingClassifier": lambda: {"estimators": _two(LogisticRegression(), GaussianNB())},
    "StackingClassifier": lambda: {"estimators": _two(LogisticRegression(), GaussianNB()), "cv": 2},
    "VotingRegressor": lambda: {"estimators": _two(LinearRegression(), Ridge())},
    "StackingRegressor": lambda: {"estimators": _two(LinearRegression(), Ridge()), "cv": 2},
}
"""Parameters without which an estimator cannot be made."""

_OF_TWO = {"FixedThresholdClassifier", "TunedThresholdClassifierCV"}
_TAKES_COUNTS = {"CategoricalNB", "ComplementNB", "MultinomialNB"}
_OF_SEVERAL = {
    "ClassifierChain",
    "MultiOutputClassifier",
    "MultiOutputRegressor",
    "RegressorChain",
    "MultiTaskElasticNet",
    "MultiTaskElasticNetCV",
    "MultiTaskLasso",
    "MultiTaskLassoCV",
    "CCA",
    "PLSCanonical",
    "PLSRegression",
}
_POSITIVE = {"GammaRegressor", "PoissonRegressor"}


def _two(*estimators: Any) -> list[tuple[str, Any]]:
    return list(zip("ab", estimators, strict=True))


def of_sklearn() -> Iterator[Entry]:
    """Yield every classifier and regressor that can be made and fitted."""
    for group in ("classifier", "regressor"):
        for name, kind in all_estimators(type_filter=group):
            yield Entry(f"{group}s", name, lambda kind=kind, group=group: _fit(kind, group))


def _fit(kind: Any, group: str) -> Any:
    """Fit an estimator on the small table. Raises what it raises if it cannot be fitted on that."""
    name = kind.__name__
    is_classifier = group == "classifier"
    parts = _PARTS[name]() if name in _PARTS else _member(kind, is_classifier)
    estimator = kind(**parts)
    known = {"random_state": 0, "n_estimators": 20, "max_iter": 2000}
    own = estimator.get_params(deep=False)
    estimator.set_params(**{key: value for key, value in known.items() if key in own})
    x: Any = COUNTS if name in _TAKES_COUNTS else TABLE
    y: Any = THREE if is_classifier else NUMBERS
    if name in _OF_SEVERAL:
        y = np.column_stack([THREE == "low", THREE == "mid"]).astype(int)
        y = y if is_classifier else np.column_stack([NUMBERS, TABLE @ [1, 2, -3, 0.5]])
    if name in _OF_TWO:
        y = np.where(THREE == "low", "low", "other")
    if name in _POSITIVE:
        y = np.abs(y) + 0.1
    if name == "IsotonicRegression":
        x = x[:, :1]
    return estimator.fit(x, y)


def _member(kind: Any, is_classifier: bool) -> dict[str, Any]:
    """Return the estimator that a meta-estimator needs."""
    import inspect

    parameters = inspect.signature(kind).parameters
    if "estimator" not in parameters or parameters["estimator"].default is None:
        return {}
    return {"estimator": LogisticRegression() if is_classifier else Ridge()}


# --- pipelines ------------------------------------------------------------------------------------


def _columns(numbers: Any = None, texts: Any = None) -> Any:
    return ColumnTransformer(
        [
            ("numbers", numbers or StandardScaler(), ["age", "income"]),
            ("texts", texts or OneHotEncoder(handle_unknown="ignore"), ["city", "member"]),
        ]
    )


def _filled() -> Any:
    texts = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
    )
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
            ("texts", texts, ["city"]),
        ]
    )


def _ordinal() -> Any:
    return _columns(
        "passthrough", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    )


def _all_pipelines() -> Iterator[tuple[str, Any, Any, Any]]:
    """Yield the name of each pipeline, itself, and what it is fitted on."""
    forest = RandomForestClassifier(30, random_state=0)
    for last in (
        *(LogisticRegression(), RandomForestClassifier(100, random_state=0), LinearSVC()),
        *(GradientBoostingClassifier(random_state=0), SVC(probability=False), GaussianNB()),
        *(KNeighborsClassifier(), MLPClassifier((8,), max_iter=300, random_state=0)),
        *(DecisionTreeClassifier(random_state=0), ExtraTreesClassifier(30, random_state=0)),
    ):
        columns = _columns(texts=OneHotEncoder(handle_unknown="ignore", sparse_output=False))
        yield (
            f"columns, {type(last).__name__}",
            Pipeline([("c", columns), ("m", last)]),
            FRAME,
            LABELS,
        )
    for last in (
        LinearRegression(),
        ElasticNet(),
        RandomForestRegressor(30, random_state=0),
        GradientBoostingRegressor(random_state=0),
    ):
        yield f"columns, {type(last).__name__}", make_pipeline(_columns(), last), FRAME, TARGET
    yield (
        "imputers, LogisticRegression",
        make_pipeline(_filled(), LogisticRegression()),
        GAPS,
        LABELS,
    )
    yield "imputers, RandomForestClassifier", make_pipeline(_filled(), forest), GAPS, LABELS
    yield "ordinal, RandomForestClassifier", make_pipeline(_ordinal(), forest), FRAME, LABELS
    hist = HistGradientBoostingClassifier(max_iter=30)
    yield "ordinal, HistGradientBoostingClassifier", make_pipeline(_ordinal(), hist), FRAME, LABELS
    yield "gaps, HistGradientBoostingClassifier", hist, GAPS[["age", "income"]], LABELS
    yield (
        "gaps, HistGradientBoostingRegressor",
        HistGradientBoostingRegressor(max_iter=30),
        GAPS[["age", "income"]],
        TARGET,
    )
    yield (
        "gaps, DecisionTreeClassifier",
        DecisionTreeClassifier(max_depth=5),
        GAPS[["age", "income"]],
        LABELS,
    )
    for scaler in (
        MinMaxScaler(),
        RobustScaler(),
        QuantileTransformer(n_quantiles=50),
        KBinsDiscretizer(4),
        PolynomialFeatures(2),
        PCA(2),
    ):
        name = f"{type(scaler).__name__}, LogisticRegression"
        yield name, make_pipeline(StandardScaler(), scaler, LogisticRegression()), TABLE, THREE
    yield (
        "SelectKBest, LogisticRegression",
        make_pipeline(SelectKBest(k=2), LogisticRegression()),
        TABLE,
        THREE,
    )
    yield (
        "PCA, RandomForestClassifier",
        make_pipeline(StandardScaler(), PCA(3), forest),
        TABLE,
        THREE,
    )
    search = GridSearchCV(make_pipeline(StandardScaler(), Ridge()), {"ridge__alpha": [0.1, 1.0]})
    yield "GridSearchCV of Ridge", search, TABLE, NUMBERS
    voting = VotingClassifier(_two(LogisticRegression(), GaussianNB()), voting="soft")
    yield (
        "columns, VotingClassifier",
        make_pipeline(_columns(texts=OneHotEncoder(sparse_output=False)), voting),
        FRAME,
        LABELS,
    )
    stacking = StackingClassifier(_two(LogisticRegression(), forest), cv=2)
    yield "columns, StackingClassifier", make_pipeline(_columns(), stacking), FRAME, LABELS
    logarithm = TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1)
    yield "log of the target, Ridge", logarithm, TABLE, np.abs(NUMBERS)
    yield "StandardScaler", StandardScaler(), TABLE, None
    yield (
        "forest of two outputs",
        RandomForestClassifier(20, random_state=0),
        TABLE,
        np.column_stack([THREE, THREE == "low"]),
    )


def pipelines() -> Iterator[Entry]:
    """Yield what people build of scikit-learn's parts."""
    for name, estimator, x, y in _all_pipelines():
        fit: Fitted = lambda one=estimator, x=x, y=y: clone(one).fit(x, y)  # noqa: E731
        yield Entry("pipelines", name, fit)


def boosters() -> Iterator[Entry]:
    """Yield models of XGBoost and LightGBM, if these are installed."""
    try:
        import lightgbm
        import xgboost
    except ImportError:
        return
    small: dict[str, Any] = {"n_estimators": 30, "n_jobs": 1}
    binary = (LABELS == "yes").astype(int)
    numbers = GAPS[["age", "income"]]
    light: dict[str, Any] = {**small, "verbose": -1}
    made: list[tuple[str, Any, Any, Any]] = [
        ("XGBClassifier, gaps", xgboost.XGBClassifier(**small), numbers, binary),
        ("XGBClassifier, three classes", xgboost.XGBClassifier(**small), TABLE, COUNTS[:, 0] % 3),
        ("XGBRegressor", xgboost.XGBRegressor(**small), TABLE, NUMBERS),
        (
            "columns, XGBClassifier",
            make_pipeline(_columns(), xgboost.XGBClassifier(**small)),
            FRAME,
            binary,
        ),
        ("LGBMClassifier, gaps", lightgbm.LGBMClassifier(**light), numbers, LABELS),
        ("LGBMClassifier, three classes", lightgbm.LGBMClassifier(**light), TABLE, THREE),
        ("LGBMRegressor", lightgbm.LGBMRegressor(**light), TABLE, NUMBERS),
        (
            "columns, LGBMClassifier",
            make_pipeline(_columns(), lightgbm.LGBMClassifier(**light)),
            FRAME,
            LABELS,
        ),
    ]
    for name, estimator, x, y in made:
        yield Entry("boosters", name, lambda one=estimator, x=x, y=y: one.fit(x, y))


def entries() -> Iterator[Entry]:
    """Yield the whole corpus."""
    yield from pipelines()
    yield from boosters()
    yield from of_sklearn()


def fitted(entry: Entry) -> Any:
    """Fit an entry, without its warnings. Raises what the estimator raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return entry.fit()
