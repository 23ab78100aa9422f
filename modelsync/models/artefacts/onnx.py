"""ONNX graphs, which onnxruntime runs."""

from __future__ import annotations

import re
from pathlib import Path

from modelsync.models.artefacts.format import ArtefactFormat, LoadedArtefact


def load(path: Path) -> LoadedArtefact:
    """Open a graph. Raises ModuleNotFoundError without onnxruntime."""
    from modelsync.models.artefacts import onnx_graphs

    return onnx_graphs.read(path)


FORMAT = ArtefactFormat("onnx", re.compile(r".+\.onnx"), load)
