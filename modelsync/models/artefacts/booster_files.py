"""Files of XGBoost, LightGBM and CatBoost, as their `save_model` writes them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from modelsync.models.artefacts.format import ArtefactFormat, LoadedArtefact


def _load_xgboost(path: Path) -> LoadedArtefact:
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(bytearray(path.read_bytes()))  # a path would have to have the right suffix
    return _adapted(booster, path)


def _load_lightgbm(path: Path) -> LoadedArtefact:
    import lightgbm

    return _adapted(lightgbm.Booster(model_str=path.read_text("utf-8")), path)


def _load_catboost(path: Path) -> LoadedArtefact:
    import catboost

    return _adapted(catboost.CatBoost().load_model(str(path)), path)


def _adapted(booster: Any, path: Path) -> LoadedArtefact:
    from modelsync.models.artefacts import estimators

    return estimators.adapt(booster, path.name)


XGBOOST = ArtefactFormat(
    "XGBoost",
    re.compile(r".+\.(ubj|ubjson|xgb)", re.IGNORECASE),
    _load_xgboost,
    lambda head: bool(re.match(rb'\s*\{\s*"learner"\s*:|\{L.{8}\x07?learner', head, re.DOTALL)),
)


LIGHTGBM = ArtefactFormat(
    "LightGBM",
    None,
    _load_lightgbm,
    lambda head: bool(re.match(rb"tree\r?\nversion=v\d", head)),
)


CATBOOST = ArtefactFormat(
    "CatBoost",
    re.compile(r".+\.cbm", re.IGNORECASE),
    _load_catboost,
    lambda head: head.startswith(b"CBM1"),
)
