"""ONNX: an estimator of scikit-learn as a graph, which onnxruntime runs without scikit-learn.

skl2onnx makes the graph, with numbers of 32 bits. What is loaded answers like the estimator.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from modelsync.models.serializers.serializer import Owner, Serializer
from modelsync.models.tables.schema import TEXT, of_estimator
from modelsync.models.versions import TableSchema

_FACTS = "modelsync"
"""The key, in the metadata of the graph, of what the estimator said of itself, as JSON."""


class OnnxModel:
    """A graph with the methods of the estimator that it was made of.

    `classes_`: the labels of a classifier, else None.
    """

    def __init__(self, session: Any, facts: dict[str, Any]) -> None:
        import numpy as np

        self.session = session
        self.kind = facts.get("kind", "")
        self._inputs = session.get_inputs()
        self._outputs = [one.name for one in session.get_outputs()]
        names = facts.get("names")
        if names:
            self.feature_names_in_ = np.array(names, dtype=object)
        shape = self._inputs[0].shape
        if names or (len(self._inputs) == 1 and len(shape) == 2 and isinstance(shape[1], int)):
            self.n_features_in_ = len(names) if names else shape[1]
        if facts.get("classes") is not None:
            self.classes_ = np.array(facts["classes"])

    def predict(self, x: Any) -> Any:
        """Return the label or number of each row."""
        found = self.session.run([self._outputs[0]], self._feed(x))[0]
        return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found

    def __getstate__(self) -> object:
        """Refuse to be pickled, and taken apart by skops: onnxruntime would end the process."""
        raise TypeError("an ONNX graph cannot be pickled")

    def __getattr__(self, name: str) -> Any:
        """Have `predict_proba` only where the graph gives probabilities."""
        if name == "predict_proba" and len(self.__dict__.get("_outputs", ())) > 1:
            return self._probabilities
        raise AttributeError(name)

    def _probabilities(self, x: Any) -> Any:
        """Return an array; a graph made elsewhere may give an object by label for each row."""
        import numpy as np

        found = self.session.run([self._outputs[1]], self._feed(x))[0]
        is_zipped = isinstance(found, list) and all(isinstance(row, dict) for row in found)
        return np.array([list(row.values()) for row in found]) if is_zipped else found

    def _feed(self, x: Any) -> dict[str, Any]:
        import numpy as np

        from modelsync.models.artefacts.onnx_graphs import NUMPY

        if len(self._inputs) == 1:
            [one] = self._inputs
            return {one.name: np.asarray(x, dtype=NUMPY[one.type])}
        columns = [x[name] for name in x.columns] if hasattr(x, "columns") else np.asarray(x).T
        return {
            one.name: np.asarray(column, dtype=NUMPY[one.type]).reshape(-1, 1)
            for one, column in zip(self._inputs, columns, strict=True)
        }


def _refuses(obj: Any, owner: Owner) -> str:
    """Return why skl2onnx cannot make a graph of it."""
    try:
        _convert(obj, owner.inputs)
    except Exception as error:  # noqa: BLE001  of any type: the converters raise all kinds
        message = " ".join(str(error).split())[:300]
        return f"skl2onnx cannot convert a {type(obj).__name__}: {message}"
    return ""


def _convert(obj: Any, inputs: TableSchema | None) -> bytes:
    """Return the graph of an estimator: one table of numbers, or with texts an input per column.

    Raises TypeError, and whatever skl2onnx raises.
    """
    if isinstance(obj, OnnxModel):
        raise TypeError("it is a graph already, and cannot be fitted")
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

    schema = inputs or of_estimator(obj)
    if schema is None:
        raise TypeError("it does not say how many columns it takes")
    texts = [column.name for column in schema.columns if column.dtype == TEXT]
    if texts:
        types = [
            (one.name, (StringTensorType if one.name in texts else FloatTensorType)([None, 1]))
            for one in schema.columns
        ]
    else:
        types = [("x", FloatTensorType([None, len(schema.columns)]))]
    options = {id(obj): {"zipmap": False}} if hasattr(obj, "predict_proba") else None
    graph = convert_sklearn(obj, initial_types=types, options=options)
    classes = getattr(obj, "classes_", None)
    facts = {
        "kind": type(obj).__name__,
        "names": [one.name for one in schema.columns] if schema.form == "frame" else None,
        "classes": None if classes is None or isinstance(classes, list) else classes.tolist(),
    }
    entry = graph.metadata_props.add()
    entry.key, entry.value = _FACTS, json.dumps(facts)
    content: bytes = graph.SerializeToString()
    return content


def _dump(obj: Any, path: Path, owner: Owner) -> None:
    path.write_bytes(_convert(obj, owner.inputs))


def _load(path: Path, owner: Owner, mapped: bool) -> Any:
    """Open a graph: of this module's, or any other that takes a table."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # The caller's thread alone, as in `artefacts.onnx_graphs`.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        path.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    facts = session.get_modelmeta().custom_metadata_map.get(_FACTS, "{}")
    return OnnxModel(session, json.loads(facts))


SERIALIZER = Serializer(
    "onnx",
    ".onnx",
    {"skl2onnx": "skl2onnx", "onnxruntime": "onnxruntime"},
    _refuses,
    _dump,
    _load,
)
