"""The pickled pipelines that contestants serve, and their ONNX files: made once by
`shared/pipelines.py`, whose seeds are fixed.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import pandas as pd

from bench.peers.environments import folder as cached
from bench.peers.environments import once
from bench.peers.shapes import VARIABLES, Model

SHARED = Path(__file__).parent / "shared"
SOURCES = [SHARED / "pipelines.py", SHARED / "ratios.py"]
LIBRARIES = ["numpy", "pandas", "scikit-learn", "skl2onnx"]


@cache
def folder() -> Path:
    """The folder of `<model>.joblib` and `<model>.onnx`."""
    place = cached("artefacts")
    made_of = b"".join(path.read_bytes() for path in SOURCES)
    once(place, made_of + repr([version(name) for name in LIBRARIES]).encode(), _make)
    return place


def _make(place: Path) -> None:
    subprocess.run([sys.executable, str(SOURCES[0]), str(place)], check=True)


@cache
def load(model: Model) -> Any:
    """A pickled pipeline."""
    if str(SHARED) not in sys.path:  # the pickle names a class of there
        sys.path.append(str(SHARED))
    return joblib.load(folder() / f"{model}.joblib")


def classify(model: Model) -> dict[str, Any]:
    """What a pipeline answers for the one row that is sent to it."""
    pipeline = load(model)
    probabilities = pipeline.predict_proba(pd.DataFrame([VARIABLES[model]]))[0]
    label = pipeline.classes_[probabilities.argmax()]
    return {"prediction": int(label), "probabilities": probabilities.tolist()}
