"""What people build of the parts of scikit-learn, and models of XGBoost and LightGBM."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
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

from bench.compiled.tables import (
    COUNTS,
    FRAME,
    GAPS,
    LABELS,
    NUMBERS,
    TABLE,
    TARGET,
    THREE,
    CorpusEntry,
    two,
)


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
    voting = VotingClassifier(two(LogisticRegression(), GaussianNB()), voting="soft")
    yield (
        "columns, VotingClassifier",
        make_pipeline(_columns(texts=OneHotEncoder(sparse_output=False)), voting),
        FRAME,
        LABELS,
    )
    stacking = StackingClassifier(two(LogisticRegression(), forest), cv=2)
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


def pipelines() -> Iterator[CorpusEntry]:
    """Yield what people build of scikit-learn's parts."""
    for name, estimator, x, y in _all_pipelines():
        yield CorpusEntry("pipelines", name, partial(clone(estimator).fit, x, y))


def boosters() -> Iterator[CorpusEntry]:
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
        yield CorpusEntry("boosters", name, partial(estimator.fit, x, y))
