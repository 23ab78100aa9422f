"""Pickles, also of joblib, of objects with `predict` or `transform` as scikit-learn has them."""

from __future__ import annotations

import pickle
import re
import sys
from pathlib import Path
from typing import Any

from modelsync.errors import ModelBroken
from modelsync.models.artefacts.format import ArtefactFormat, LoadedArtefact
from modelsync.models.diagnosis import hide_paths
from modelsync.models.types import Fault


def load(path: Path) -> LoadedArtefact:
    """Unpickle an estimator."""
    from modelsync.models.artefacts import estimators

    try:
        loaded = _unpickle(path)
    except ModuleNotFoundError:
        raise
    except (ImportError, AttributeError) as error:
        # A class of a notebook: `__main__` is a program of ours here, shown by its own name.
        if "__main__" in str(error) or repr(sys.modules["__main__"]) in str(error):
            raise
        hint = "list the versions of the libraries that wrote it in a requirements.txt beside it"
        message = f"needs a library of another version: {hide_paths(str(error))}"
        raise ModelBroken(Fault("load", message, path.name, hint=hint)) from None
    return estimators.adapt(loaded, path.name)


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
