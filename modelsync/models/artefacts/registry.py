"""The registry of artefact formats. A new one is a module beside this one and a line in `FORMATS`.

| file | holds |
|---|---|
| a pickle: `.pkl`, `.pickle`, `.pk`, `.sav`, `.joblib` and others | an object with scikit-learn's |
| | `predict` or `transform`, or a model of XGBoost, LightGBM or CatBoost |
| `.skops` | the same, without the power to run code: of types that skops trusts |
| `.onnx` | an ONNX graph; needs onnxruntime |
| `.ubj`, `.json` | what XGBoost's `save_model` writes |
| `.txt` | what LightGBM's `save_model` writes |
| `.cbm` | what CatBoost's `save_model` writes |
| `.pt` | what `torch.jit.save` writes |

A file of another name is told by its first bytes; a `.json` or `.txt` by these alone.

Variables are the names that the estimator was fitted with, or the inputs of the graph; without
names, the list `x`. The answer is `{"prediction": ...}`, and of a classifier `{"prediction": label,
"probabilities": {label: p}}`.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace
from pathlib import Path

from modelsync.models.artefacts import booster_files, onnx, pickles, skops, torchscript
from modelsync.models.artefacts.format import HEAD, ArtefactFormat, LoadedArtefact

FORMATS: tuple[ArtefactFormat, ...] = (
    pickles.FORMAT,
    skops.FORMAT,
    onnx.FORMAT,
    booster_files.XGBOOST,
    booster_files.LIGHTGBM,
    booster_files.CATBOOST,
    torchscript.FORMAT,
)

_log = logging.getLogger(__name__)


def find(path: Path) -> ArtefactFormat | None:
    """Return the format of a file; None if it is no artefact. Raises OSError.

    What it begins with counts more than its name: `save_model("model.pkl")` writes no pickle.
    """
    try:
        with path.open("rb", buffering=0) as file:
            head = file.read(HEAD)
    except IsADirectoryError:
        return None
    # The last ones first: old files of PyTorch are pickles of their own kind.
    by_content = (one for one in reversed(FORMATS) if one.begins(head))
    return next(by_content, None) or by_name(path.name)


def by_name(file: str) -> ArtefactFormat | None:
    """Return the format of files of this name; None if the name tells none."""
    return next((one for one in FORMATS if one.pattern and one.pattern.fullmatch(file)), None)


def load(folder: Path, file: str) -> LoadedArtefact:
    """Load the artefact of a folder, and decide how it is called. Never calls it.

    Warnings of its library (another version wrote it) go to the log. Raises ModelBroken if it
    holds no model, and whatever the library raises.
    """
    artefact_format = find(folder / file)
    assert artefact_format, f"{file} has no known format"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded = artefact_format.load(folder / file)
    noted = tuple(dict.fromkeys(" ".join(str(one.message).split()) for one in caught))
    for message in noted:
        _log.warning("%s/%s: %s", folder.name, file, message)
    return replace(loaded, noted=noted)
