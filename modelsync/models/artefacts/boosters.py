"""Boosters of XGBoost, LightGBM and CatBoost as estimators.

What their `save_model` writes holds trees and the names of columns, but not scikit-learn's methods.
These come from the library's own class, or from one here where that cannot be made of a booster.
"""

from __future__ import annotations

import json
import re
import tempfile
from typing import Any, ClassVar


def as_estimator(loaded: Any) -> Any:
    """Return a booster as an estimator with scikit-learn's methods; anything else as it is."""
    kind = type(loaded)
    library = kind.__module__.partition(".")[0]
    if (library, kind.__name__) == ("xgboost", "Booster"):
        return _of_xgboost(loaded)
    if (library, kind.__name__) == ("lightgbm", "Booster"):
        return (
            LightGBMBooster(loaded) if _lightgbm_classes(loaded) < 2 else LightGBMClassifier(loaded)
        )
    if (library, kind.__name__) == ("catboost", "CatBoost"):
        return _of_catboost(loaded)
    return loaded


# --- XGBoost --------------------------------------------------------------------------------------


def _of_xgboost(booster: Any) -> Any:
    import xgboost

    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    classifies = objective in ("binary:logistic", "multi:softprob", "multi:softmax")
    model = xgboost.XGBClassifier() if classifies else xgboost.XGBRegressor()
    model.load_model(bytearray(booster.save_raw("ubj")))
    return model


# --- LightGBM -------------------------------------------------------------------------------------


def _lightgbm_classes(booster: Any) -> int:
    """Return how many classes a booster tells apart; 1 if it is no classifier."""
    text = booster.model_to_string(num_iteration=1)
    found = re.search(r"^objective=(\w+)", text, re.MULTILINE)
    objective = found[1] if found else ""
    if objective in ("multiclass", "multiclassova"):
        return int(re.search(r"^num_class=(\d+)", text, re.MULTILINE)[1])  # type: ignore[index]
    return 2 if objective == "binary" else 1


class LightGBMBooster:
    """A booster of LightGBM with scikit-learn's attributes: its library has no way to make them."""

    LIBRARY: ClassVar[str] = "lightgbm"

    def __init__(self, booster: Any) -> None:
        self.booster_ = booster
        self.n_features_in_ = booster.num_feature()
        names = booster.feature_name()
        if names != [f"Column_{place}" for place in range(len(names))]:  # those of an array
            self.feature_names_in_ = names

    def predict(self, x: Any) -> Any:
        """Return an array of shape (rows,)."""
        return self.booster_.predict(x, num_threads=1)


class LightGBMClassifier(LightGBMBooster):
    """A classifier, whose classes are numbers from 0: a booster does not know their names."""

    def __init__(self, booster: Any) -> None:
        import numpy as np

        super().__init__(booster)
        self.classes_ = np.arange(_lightgbm_classes(booster))

    def predict(self, x: Any) -> Any:
        """Return the most probable class of each row."""
        return self.predict_proba(x).argmax(axis=1)

    def predict_proba(self, x: Any) -> Any:
        """Return an array of shape (rows, classes)."""
        import numpy as np

        found = super().predict(x)
        return found if found.ndim == 2 else np.column_stack([1 - found, found])


# --- CatBoost -------------------------------------------------------------------------------------


def _of_catboost(model: Any) -> Any:
    import catboost

    loss = str(model.get_all_params().get("loss_function", ""))
    is_classifier = loss.startswith(("Logloss", "CrossEntropy", "MultiClass"))
    found = catboost.CatBoostClassifier() if is_classifier else catboost.CatBoostRegressor()
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/model.cbm"
        model.save_model(file)
        return found.load_model(file)
