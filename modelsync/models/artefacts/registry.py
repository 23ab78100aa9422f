"""Ready artefacts: a folder without code, whose one file is the model.

| file | holds |
|---|---|
| `pipeline.pkl`, `model.pkl`, `*.joblib` | anything with `predict` or `transform`, as scikit-learn has them |
| `*.skops` | the same, without the power to run code: of types that skops trusts |
| `model.onnx` | an ONNX graph; needs onnxruntime |

Variables are the names that the estimator was fitted with, or the inputs of the graph; where there
are none, the list `x`. The answer is `{"prediction": ...}`, and of a classifier `{"prediction":
label, "probabilities": {label: p}}`.
"""

from __future__ import annotations

import logging
import pickle
import warnings
from pathlib import Path
from typing import Any

from modelsync.errors import ModelBroken
from modelsync.models.artefacts import estimators, onnx
from modelsync.models.artefacts.estimators import Ready
from modelsync.models.discovery.source_analysis import FILE
from modelsync.models.types import Fault

log = logging.getLogger(__name__)


def load(folder: Path, file: str) -> Ready:
    """Load the artefact of a folder, and decide how it is called. Never calls it.

    What its library warns of (another version wrote it) is a note in the log. Raises ModelBroken
    where it is no model, and whatever unpickling raises.
    """
    path = folder / file
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ready = onnx.read(path) if path.suffix == ".onnx" else estimators.read(_unpack(path), file)
    for message in dict.fromkeys(" ".join(str(one.message).split()) for one in caught):
        log.warning("%s/%s: %s", folder.name, file, message)
    return ready


def _unpack(path: Path) -> Any:
    if path.suffix == ".skops":
        return _skops(path)
    try:
        import joblib
    except ModuleNotFoundError:
        if path.suffix == ".joblib":
            raise
        return pickle.loads(path.read_bytes())
    return joblib.load(
        path
    )  # reads plain pickles as well, and many a .pkl was written by joblib.dump


def _skops(path: Path) -> Any:
    import skops.io

    if untrusted := skops.io.get_untrusted_types(file=path):
        listed = ", ".join(untrusted)
        raise ModelBroken(
            Fault(
                "load",
                f"holds types that skops does not trust: {listed}",
                path.name,
                hint=f"if you trust them, add an {FILE} with skops.io.load(path + {path.name!r}, trusted=[...])",
            )
        )
    return skops.io.load(path, trusted=[])
