"""The registry of artefact formats. A new one is a module beside this one and a line in `FORMATS`.

| file | holds |
|---|---|
| `pipeline.pkl`, `model.pkl`, `*.joblib` | an object with scikit-learn's `predict` or `transform` |
| `*.skops` | the same, without the power to run code: of types that skops trusts |
| `model.onnx` | an ONNX graph; needs onnxruntime |

Variables are the names that the estimator was fitted with, or the inputs of the graph; without
names, the list `x`. The answer is `{"prediction": ...}`, and of a classifier `{"prediction": label,
"probabilities": {label: p}}`.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

from modelsync.models.artefacts import onnx, pickles, skops
from modelsync.models.artefacts.format import ArtefactFormat, LoadedArtefact

FORMATS: tuple[ArtefactFormat, ...] = (
    pickles.FORMAT,
    skops.FORMAT,
    onnx.FORMAT,
)

_log = logging.getLogger(__name__)


def find(file: str) -> ArtefactFormat | None:
    """Return the format of a file of this name; None if it is no artefact."""
    return next((one for one in FORMATS if one.pattern.fullmatch(file)), None)


def load(folder: Path, file: str) -> LoadedArtefact:
    """Load the artefact of a folder, and decide how it is called. Never calls it.

    Warnings of its library (another version wrote it) go to the log. Raises ModelBroken if it
    holds no model, and whatever the library raises.
    """
    artefact_format = find(file)
    assert artefact_format, f"{file} has no known format"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loaded = artefact_format.load(folder / file)
    for message in dict.fromkeys(" ".join(str(one.message).split()) for one in caught):
        _log.warning("%s/%s: %s", folder.name, file, message)
    return loaded
