"""What models of XGBoost, LightGBM and CatBoost tell of their inputs; they compute with DataFrames.

Their classes have the methods of scikit-learn's, and each keeps its columns and categories in its
own way. None is imported here.
"""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

from modelsync.errors import ModelBroken
from modelsync.models.artefacts import column_kinds
from modelsync.models.artefacts.column_kinds import NUMBER_OR_NULL, TEXT, ColumnKind
from modelsync.models.convention import FILE
from modelsync.models.types import Fault

LIBRARIES = {"catboost", "lightgbm", "xgboost"}

WORD = ColumnKind(str | int, "object")
"""A category of CatBoost, which compares integers by their digits."""


def is_one(step: Any) -> bool:
    """Return whether an estimator is of one of these libraries."""
    return _library(step) in LIBRARIES


def _library(step: Any) -> str:
    """Return the library of the first class in the lineage that is of one of them."""
    lineage = type(step).__mro__
    tops = (getattr(kind, "LIBRARY", kind.__module__.partition(".")[0]) for kind in lineage)
    return next((top for top in tops if top in LIBRARIES), "")


def names(step: Any) -> list[str] | None:
    """Return the names of the columns it was fitted with; None of an array."""
    if _library(step) == "catboost":
        found = list(map(str, step.feature_names_ or []))
        return None if found == list(map(str, range(len(found)))) else found
    known = getattr(step, "feature_names_in_", None)
    return None if known is None else [str(name) for name in known]


def count(step: Any) -> int:
    """Return the number of columns it was fitted with."""
    return len(step.feature_names_) if _library(step) == "catboost" else int(step.n_features_in_)


def kinds(step: Any) -> list[ColumnKind]:
    """Return what its columns hold. Raises ModelBroken if it does not know its categories."""
    read = {"catboost": _catboost, "lightgbm": _lightgbm, "xgboost": _xgboost}
    return read[_library(step)](step)


def use_one_thread(step: Any) -> None:
    """Have it compute in the calling thread, as all estimators do here."""
    if _library(step) == "xgboost":
        step.get_booster().set_param({"nthread": 1})
    elif _library(step) == "lightgbm" and hasattr(step, "n_jobs"):
        step.n_jobs = 1


def _catboost(step: Any) -> list[ColumnKind]:
    found = [NUMBER_OR_NULL] * count(step)
    for place in step.get_cat_feature_indices():
        found[place] = WORD
    for place in step.get_text_feature_indices():
        found[place] = TEXT
    if step.get_embedding_feature_indices():
        raise _broken(step, "takes embeddings, which variables cannot fill")
    return found


def _lightgbm(step: Any) -> list[ColumnKind]:
    """Read the categories of the columns that are listed as categorical."""
    found = [NUMBER_OR_NULL] * count(step)
    known = step.booster_.pandas_categorical or []
    text = step.booster_.model_to_string(num_iteration=1)
    listed = re.search(r"^\[categorical_feature: ([\d,]+)\]$", text, re.MULTILINE)
    places = [int(place) for place in listed[1].split(",")] if listed and known else []
    if len(places) != len(known):
        raise _broken(step, "does not tell which of its columns are categories")
    for place, categories in zip(places, known, strict=True):
        found[place] = column_kinds.of_pandas(categories, unknown=True)
    return found


def _xgboost(step: Any) -> list[ColumnKind]:
    """Read the categories, which files of XGBoost 3.1 and later hold."""
    types = step.get_booster().feature_types or []
    found = [NUMBER_OR_NULL] * count(step)
    if "c" not in types:
        return found
    config = json.loads(bytes(step.get_booster().save_raw("json")))
    known = config["learner"]["gradient_booster"].get("model", {}).get("cats", {}).get("enc") or []
    for place, kind in enumerate(types):
        if kind == "c":
            categories = _decoded(known[place]) if place < len(known) else []
            if not categories:
                raise _broken(step, "does not hold the categories of its columns")
            found[place] = column_kinds.of_pandas(categories, unknown=False)
    return found


def _decoded(encoded: dict[str, list[int]]) -> list[Any]:
    """Return categories: texts are kept as bytes in one list, and where each begins."""
    values = encoded.get("values", [])
    if "offsets" not in encoded:
        return values
    edges = encoded["offsets"]
    data = bytes(value % 256 for value in values)
    return [data[a:b].decode() for a, b in pairwise(edges)]


def _broken(step: Any, message: str) -> ModelBroken:
    hint = f"fit it with the newest {_library(step)}, or add an {FILE} that encodes them"
    return ModelBroken(Fault("load", f"the {type(step).__name__} {message}", hint=hint))
