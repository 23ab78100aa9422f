"""Artefacts answer a row alone as beside others, and as the library does with pandas and NaN."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import catboost
import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from imblearn.over_sampling import RandomOverSampler
from imblearn.pipeline import make_pipeline as make_sampling_pipeline
from sklearn import impute, linear_model, model_selection
from sklearn import preprocessing as pre
from sklearn.compose import (
    ColumnTransformer,
    TransformedTargetRegressor,
    make_column_selector,
    make_column_transformer,
)
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.tree import DecisionTreeClassifier

from modelsync.errors import VariablesInvalid
from modelsync.models.discovery.folders import discover
from modelsync.models.loading.loader import load, unload
from modelsync.models.types import LoadedModel
from tests.models.code import bind, call_batch, schema_of

RANDOM = np.random.default_rng(0)
SIZE = 120
NUMERIC = ["age", "income"]
PEOPLE = pd.DataFrame(
    {
        "age": RANDOM.integers(18, 80, SIZE),
        "income": np.where(np.arange(SIZE) % 7, RANDOM.normal(50, 10, SIZE), np.nan),
        "city": pd.Series(RANDOM.choice(["Bern", "Genf", "Chur"], SIZE)).where(
            np.arange(SIZE) % 5 > 0
        ),
        "zip": RANDOM.choice(["01067", "10115"], SIZE),
        "code": RANDOM.choice([1, 2, 3], SIZE),
        "member": RANDOM.choice([True, False], SIZE),
    }
)
WHOLE = PEOPLE.assign(income=PEOPLE.income.fillna(50), city=PEOPLE.city.fillna("Bern"))
FEW = WHOLE[["age", "income", "city"]]
AS_CATEGORY = PEOPLE[["age", "income", "city"]].assign(city=pd.Categorical(PEOPLE.city))
OBJECTS = FEW.to_numpy(dtype=object)
OLD = (PEOPLE.age > 45).astype(int)
LABELS = np.where(OLD == 1, "yes", "no")
ROWS = [0, 5, 7, 1, 35]
"""Rows with each of the missing values, and without."""


def logistic() -> linear_model.LogisticRegression:
    return linear_model.LogisticRegression(max_iter=400)


def encoded(columns: Any = ("city",), numbers: Any = tuple(NUMERIC)) -> ColumnTransformer:
    """Encodes some columns and fills in others."""
    columns = list(columns) if isinstance(columns, tuple) else columns
    numbers = list(numbers) if isinstance(numbers, tuple) else numbers
    return make_column_transformer(
        (pre.OneHotEncoder(handle_unknown="ignore"), columns), (impute.SimpleImputer(), numbers)
    )


def ordinal() -> pre.OrdinalEncoder:
    return pre.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)


def cat(kind: Any = catboost.CatBoostClassifier, **options: Any) -> Any:
    return kind(iterations=4, verbose=0, allow_writing_files=False, **options)


def light() -> lightgbm.LGBMClassifier:
    return lightgbm.LGBMClassifier(n_estimators=4, verbose=-1)


def filled(strategy: str, **options: Any) -> Any:
    """Fills in texts, then encodes them."""
    imputer = impute.SimpleImputer(strategy=strategy, **options)
    return make_pipeline(imputer, pre.OneHotEncoder(handle_unknown="ignore"))


text_columns = make_column_selector(dtype_exclude=np.number)
number_columns = make_column_selector(dtype_include=np.number)

FITTED: dict[str, tuple[Callable[[], Any], Any]] = {
    "names": (lambda: make_pipeline(encoded(), logistic()), PEOPLE),
    "positions": (lambda: make_pipeline(encoded((2,), (0, 1)), logistic()), PEOPLE),
    "callables": (lambda: make_pipeline(encoded(text_columns, number_columns), logistic()), PEOPLE),
    "most frequent": (
        lambda: make_pipeline(
            make_column_transformer((filled("most_frequent"), ["city"])), logistic()
        ),
        PEOPLE,
    ),
    "constant": (
        lambda: make_pipeline(filled("constant", fill_value="none"), logistic()),
        PEOPLE[["city", "zip"]],
    ),
    "unknown categories": (
        lambda: make_pipeline(
            make_column_transformer((ordinal(), ["city"]), ("passthrough", NUMERIC)),
            HistGradientBoostingClassifier(max_iter=3),
        ),
        PEOPLE,
    ),
    "target": (
        lambda: make_pipeline(make_column_transformer((pre.TargetEncoder(), ["city"])), logistic()),
        PEOPLE,
    ),
    "remainder": (
        lambda: make_pipeline(
            make_column_transformer(
                (pre.OneHotEncoder(), ["city", "zip"]), remainder="passthrough"
            ),
            logistic(),
        ),
        WHOLE,
    ),
    "union": (
        lambda: make_pipeline(
            make_union(
                make_column_transformer((pre.OneHotEncoder(handle_unknown="ignore"), ["city"])),
                make_column_transformer((impute.SimpleImputer(), NUMERIC)),
            ),
            logistic(),
        ),
        PEOPLE,
    ),
    "booleans": (
        lambda: make_pipeline(
            make_column_transformer((pre.OneHotEncoder(drop="if_binary"), ["member", "code"])),
            logistic(),
        ),
        WHOLE,
    ),
    "function": (
        lambda: make_pipeline(
            make_column_transformer(
                (pre.FunctionTransformer(np.log1p), ["age"]), (pre.OneHotEncoder(), ["city"])
            ),
            logistic(),
        ),
        WHOLE,
    ),
    "objects": (
        lambda: make_pipeline(
            make_column_transformer((pre.OneHotEncoder(), [2]), (pre.StandardScaler(), [0, 1])),
            logistic(),
        ),
        OBJECTS,
    ),
    "from dtype": (
        lambda: HistGradientBoostingClassifier(max_iter=4, categorical_features="from_dtype"),
        AS_CATEGORY,
    ),
    "search": (
        lambda: model_selection.GridSearchCV(
            make_pipeline(encoded(), logistic()), {"logisticregression__C": [0.1, 1]}, cv=2
        ),
        PEOPLE,
    ),
    "vote": (
        lambda: VotingClassifier(
            [
                ("a", make_pipeline(encoded(), logistic())),
                ("b", make_pipeline(encoded(), DecisionTreeClassifier(max_depth=2))),
            ],
            voting="soft",
        ),
        PEOPLE,
    ),
    "sampled": (
        lambda: make_sampling_pipeline(encoded(), RandomOverSampler(random_state=0), logistic()),
        PEOPLE,
    ),
    "XGBoost": (lambda: xgboost.XGBClassifier(n_estimators=4), PEOPLE[NUMERIC]),
    "XGBoost, categories": (
        lambda: xgboost.XGBClassifier(n_estimators=4, enable_categorical=True),
        AS_CATEGORY,
    ),
    "XGBoost, an array": (
        lambda: xgboost.XGBClassifier(n_estimators=4),
        PEOPLE[NUMERIC].to_numpy(),
    ),
    "XGBoost, a pipeline": (
        lambda: make_pipeline(
            make_column_transformer((ordinal(), ["city"]), ("passthrough", NUMERIC)),
            xgboost.XGBClassifier(n_estimators=4),
        ),
        PEOPLE,
    ),
    "LightGBM": (light, PEOPLE[NUMERIC]),
    "LightGBM, categories": (light, AS_CATEGORY),
    "LightGBM, an array": (light, PEOPLE[NUMERIC].to_numpy()),
    "LightGBM, a frame": (
        lambda: make_pipeline(
            ColumnTransformer(
                [("a", ordinal(), ["city"]), ("b", "passthrough", NUMERIC)],
                verbose_feature_names_out=False,
            ).set_output(transform="pandas"),
            light(),
        ),
        PEOPLE,
    ),
    "CatBoost": (lambda: cat(cat_features=["city"]), FEW.assign(income=PEOPLE.income)),
    "CatBoost, an array": (cat, PEOPLE[NUMERIC].to_numpy()),
    "CatBoost, codes": (lambda: cat(cat_features=["code"]), PEOPLE[["age", "code"]]),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Any], LoadedModel]]:
    """Save an estimator as an artefact, and load it."""
    loaded: list[LoadedModel] = []

    def models(estimator: Any) -> LoadedModel:
        root: Path = tmp_path_factory.mktemp("models")
        (root / "Ready").mkdir()
        joblib.dump(estimator, root / "Ready" / "model.joblib")
        loaded.append(model := load(discover(root)[0]))
        return model

    yield models
    for model in loaded:
        unload(model)


def variables(x: Any) -> list[dict[str, Any]]:
    """The rows as JSON has them: what is missing is null."""
    if isinstance(x, np.ndarray):
        return [{"x": [None if one != one else one for one in row]} for row in x.tolist()]
    values = x.astype(object).to_dict("records")
    return [{key: None if one != one else one for key, one in row.items()} for row in values]


@pytest.mark.parametrize("name", FITTED)
def test_alone_as_beside_others_as_in_pandas(
    models: Callable[[Any], LoadedModel], name: str
) -> None:
    """Whatever is missing; the types of columns never come from the request."""
    make, x = FITTED[name]
    labels = OLD if "XGBoost" in name else LABELS
    fitted = make().fit(x, labels)
    model = models(fitted)
    some = x[ROWS] if isinstance(x, np.ndarray) else x.iloc[ROWS]
    rows = variables(some)
    alone = [model.call(row) for row in rows]
    beside = call_batch(model, [bind(model, row) for row in rows])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted, probabilities = fitted.predict(some).ravel().tolist(), fitted.predict_proba(some)
    for one, other, label, p in zip(alone, beside, wanted, probabilities, strict=True):
        assert one["prediction"] == other["prediction"] == label
        assert list(one["probabilities"].values()) == pytest.approx(p.tolist(), rel=1e-6)
        assert one["probabilities"] == pytest.approx(other["probabilities"], rel=1e-6)


def test_the_target_may_be_transformed(models: Callable[[Any], LoadedModel]) -> None:
    """What is inside says which columns are texts."""
    inner = make_pipeline(encoded(), linear_model.LinearRegression())
    fitted = TransformedTargetRegressor(inner, transformer=pre.StandardScaler())
    fitted.fit(PEOPLE, WHOLE.income)
    answers = [models(fitted).call(row)["prediction"] for row in variables(PEOPLE.iloc[ROWS])]
    assert answers == pytest.approx(fitted.predict(PEOPLE.iloc[ROWS]).tolist())


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("names", {"city": 1067}),
        ("names", {"age": "old"}),
        ("remainder", {"zip": 1067}),
        ("remainder", {"city": "Rom"}),
        ("remainder", {"city": None}),
        ("booleans", {"member": "maybe"}),
        ("booleans", {"code": None}),
        ("XGBoost, categories", {"city": "Rom"}),
        ("CatBoost", {"city": None}),
        ("CatBoost", {"city": 1.5}),
        ("objects", {"x": [30, 50.0, 7]}),
        ("objects", {"x": ["Bern", 50.0, "Bern"]}),
        ("objects", {"x": [30, 50.0]}),
    ],
)
def test_what_does_not_fit_is_a_mistake_of_the_client(
    models: Callable[[Any], LoadedModel], name: str, wrong: dict[str, Any]
) -> None:
    """Values of another type than those it was fitted with, and categories that it refuses."""
    make, x = FITTED[name]
    model = models(make().fit(x, OLD if "XGBoost" in name else LABELS))
    row = variables(x[1:2] if isinstance(x, np.ndarray) else x.iloc[1:2])[0]
    model.call(row)
    [field] = wrong
    with pytest.raises(VariablesInvalid, match=field):
        bind(model, {**row, **wrong})


def test_rows_of_unlike_types_are_called_apart(models: Callable[[Any], LoadedModel]) -> None:
    """A function of the author's is given each row as if it had come alone."""
    fitted = make_pipeline(pre.FunctionTransformer(_as_texts), pre.OneHotEncoder())
    fitted.fit(pd.DataFrame({"zip": [1067, 10115]}))
    model = models(fitted)
    rows = [bind(model, {"zip": one}) for one in (1067, 10115, "1067", 1067)]
    answers = [one["prediction"] for one in call_batch(model, rows)]
    assert answers == [[0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]


def _as_texts(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype(str)


def test_categories_are_in_the_schema(models: Callable[[Any], LoadedModel]) -> None:
    """Where others are refused; they come from the encoder."""
    make, _ = FITTED["remainder"]
    properties = schema_of(models(make().fit(WHOLE, LABELS)))["properties"]
    assert properties["zip"]["enum"] == ["01067", "10115"]
    assert properties["age"]["type"] == "number"
