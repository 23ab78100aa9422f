"""Pickles, also of joblib, of objects with `predict` or `transform` as scikit-learn has them."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

from modelsync.models.artefacts.format import ArtefactFormat, LoadedArtefact


def load(path: Path) -> LoadedArtefact:
    """Unpickle an estimator."""
    from modelsync.models.artefacts import estimators

    return estimators.adapt(_unpickle(path), path.name)


def _unpickle(path: Path) -> Any:
    try:
        import joblib
    except ModuleNotFoundError:
        if path.suffix == ".joblib":
            raise
        return pickle.loads(path.read_bytes())
    # It reads plain pickles as well, and `joblib.dump` has written many a .pkl.
    return joblib.load(path)


FORMAT = ArtefactFormat("pickle", re.compile(r"(pipeline|model)\.pkl|.+\.joblib"), load)
