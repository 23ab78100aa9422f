"""Files that XGBoost, LightGBM and CatBoost have saved: a model answers as its library does."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost

from modelsync.errors import ModelBroken
from tests.models.code import bind, call_batch, fault_of
from tests.models.conftest import Load, Write

RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame({"age": RANDOM.integers(18, 80, 120), "income": RANDOM.normal(50, 10, 120)})
CITIES = FRAME.assign(city=RANDOM.choice(["Bern", "Genf"], 120))
CATEGORIES = FRAME.assign(city=pd.Categorical(CITIES.city))
ARRAY = FRAME.to_numpy()
OLD = (FRAME.age > 45).astype(int)
LABELS = np.where(OLD == 1, "yes", "no")
THIRDS = pd.cut(FRAME.age, 3, labels=False)
AGES = FRAME.age * 1.0

Save = Callable[[str], Any]


def boosted(kind: Any, **options: Any) -> Any:
    return kind(n_estimators=4, **options)


def light(kind: Any) -> Any:
    return kind(n_estimators=4, verbose=-1)


def cat(kind: Any, **options: Any) -> Any:
    return kind(iterations=4, verbose=0, allow_writing_files=False, **options)


def pickled(model: Any) -> Save:
    return lambda path: Path(path).write_bytes(pickle.dumps(model))


def raw(model: Any) -> Save:
    return lambda path: Path(path).write_bytes(model.get_booster().save_raw("ubj"))


def booster() -> xgboost.Booster:
    return xgboost.train({"objective": "binary:logistic"}, xgboost.DMatrix(FRAME, OLD), 3)


def cases() -> dict[str, tuple[Any, Any, str, Callable[[Any], Save]]]:
    """The fitted model, the data, the name of the file, and how it is saved."""
    by_method: Callable[[Any], Save] = lambda model: model.save_model  # noqa: E731
    by_booster: Callable[[Any], Save] = lambda model: model.booster_.save_model  # noqa: E731
    xgb, regressor = xgboost.XGBClassifier, xgboost.XGBRegressor
    return {
        "xgb.json": (boosted(xgb).fit(FRAME, OLD), FRAME, "churn.json", by_method),
        "xgb.ubj": (boosted(xgb).fit(ARRAY, THIRDS), ARRAY, "churn.ubj", by_method),
        "xgb.model": (boosted(xgb).fit(FRAME, OLD), FRAME, "churn.model", raw),
        "xgb.pkl": (boosted(xgb).fit(FRAME, OLD), FRAME, "model.pkl", raw),
        "xgb categories": (
            boosted(xgb, enable_categorical=True).fit(CATEGORIES, OLD),
            CATEGORIES,
            "m.ubj",
            by_method,
        ),
        "xgb regressor": (boosted(regressor).fit(FRAME, AGES), FRAME, "m.json", by_method),
        "lgb": (light(lightgbm.LGBMClassifier).fit(FRAME, OLD), FRAME, "m.txt", by_booster),
        "lgb thirds": (
            light(lightgbm.LGBMClassifier).fit(ARRAY, THIRDS), ARRAY, "m.txt", by_booster,
        ),
        "lgb categories": (
            light(lightgbm.LGBMRegressor).fit(CATEGORIES, AGES), CATEGORIES, "m.lgb", by_booster,
        ),
        "lgb pickled": (
            light(lightgbm.LGBMRegressor).fit(FRAME, AGES),
            FRAME,
            "m.sav",
            lambda model: pickled(model.booster_),
        ),
        "cat": (
            cat(catboost.CatBoostClassifier, cat_features=["city"]).fit(CITIES, LABELS),
            CITIES,
            "m.cbm",
            by_method,
        ),
        "cat thirds": (
            cat(catboost.CatBoostClassifier).fit(ARRAY, THIRDS), ARRAY, "m.cbm", by_method,
        ),
        "cat regressor": (
            cat(catboost.CatBoostRegressor).fit(FRAME, AGES), FRAME, "m.cbm", by_method,
        ),
    }  # fmt: skip


CASES = cases()


@pytest.mark.parametrize("name", CASES)
def test_it_answers_as_its_library(write: Write, serve: Load, name: str) -> None:
    """Beside a text and a configuration, which are no models; alone and in a batch."""
    model, x, file, saved = CASES[name]
    saved(model)(str(write("Ready", files={"notes.txt": "tree", "conf.json": "{}"}) / file))
    loaded = serve(None, name="Ready")
    assert loaded.spec.artefact == file
    some = x[:4]
    rows: list[dict[str, Any]] = (
        [{"x": row} for row in some.tolist()]
        if isinstance(some, np.ndarray)
        else some.astype(object).to_dict("records")
    )
    answers = call_batch(loaded, [bind(loaded, row) for row in rows])
    assert [loaded.call(row) for row in rows] == answers
    wanted = np.asarray(model.predict(some)).ravel().tolist()
    found = [answer["prediction"] for answer in answers]
    assert found == (wanted if isinstance(wanted[0], str) else pytest.approx(wanted))
    if hasattr(model, "predict_proba"):
        listed = [list(answer["probabilities"].values()) for answer in answers]
        assert np.allclose(listed, model.predict_proba(some))


def test_a_booster_that_was_trained_without_a_class(write: Write, serve: Load) -> None:
    """Its objective tells that it is a classifier."""
    made = booster()
    made.save_model(write("Ready") / "booster.json")
    model = serve(None, name="Ready")
    answer = model.call({"age": 30, "income": None})
    frame = pd.DataFrame({"age": [30.0], "income": [np.nan]})
    assert answer["probabilities"]["1"] == pytest.approx(made.predict(xgboost.DMatrix(frame))[0])


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("m.ubj", b"nonsense"),
        ("m.cbm", b"nonsense"),
        ("m.json", b'{"learner": 1}'),
        ("m.txt", b"tree\nversion=v4\n"),
    ],
)
def test_a_damaged_file_is_that_models_fault(
    write: Write, serve: Load, file: str, content: bytes
) -> None:
    """Whatever the library raises."""
    write("Ready", files={file: content})
    with pytest.raises(ModelBroken):
        serve(None, name="Ready")


def test_a_file_of_weights_is_refused(write: Write, serve: Load) -> None:
    """What torch.save writes has no code; PyTorch is not needed to see that."""
    write("Ready", files={"model.pth": b"PK\x05\x06" + bytes(18)})
    with pytest.raises(ModelBroken) as caught:
        serve(None, name="Ready")
    assert fault_of(caught.value).message.startswith("holds weights or a pickled module without")
