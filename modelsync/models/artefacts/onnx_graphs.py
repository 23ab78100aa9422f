"""Runs ONNX graphs with onnxruntime, all rows at once.

A graph with one input of shape (rows, n) takes the variables that its metadata names (`features`:
names in order, as JSON or separated by commas), or else the list `x`. Any other input is the
variable of its name: a value, or nested lists of the input's shape without its first dimension, the
rows. A label with its probabilities, the outputs of a classifier, is answered as for other
artefacts; other outputs by their names.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from modelsync.errors import ModelBroken
from modelsync.models import results, single_precision
from modelsync.models.artefacts import rows
from modelsync.models.artefacts.format import Features, LoadedArtefact
from modelsync.models.artefacts.rows import Number
from modelsync.models.binding.batching import Batch
from modelsync.models.binding.constraints import Length
from modelsync.models.convention import FILE
from modelsync.models.types import Fault

NUMPY = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    **{
        f"tensor({kind})": kind
        for kind in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    },
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}
"""The numpy type of each tensor that variables can fill."""


def read(path: Path) -> LoadedArtefact:
    """Open a graph. Raises ModuleNotFoundError without onnxruntime, and what that raises."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # The caller's thread alone: a pool would not survive the fork of the workers, among which the
    # cores are shared out.
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        path.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    inputs, outputs = session.get_inputs(), [output.name for output in session.get_outputs()]
    for one in inputs:
        if one.type not in NUMPY:
            message = f"its input {one.name} is a {one.type}, which variables cannot fill"
            raise ModelBroken(Fault("load", message, path.name, hint=f"add an {FILE} that runs it"))
    metadata = session.get_modelmeta().custom_metadata_map
    read = _single(inputs[0], metadata) if _is_table(inputs) else _by_name(inputs)
    row, schema, feed, features = read
    answer = _answer(outputs)

    def call(rows: list[Any]) -> list[dict[str, Any]]:
        return answer(session.run(None, feed(rows)), len(rows))

    doc = f"The ready model in {path.name}, an ONNX graph."
    batches = all(one.shape and not isinstance(one.shape[0], int) for one in inputs)
    return LoadedArtefact(
        session, Batch(row, call, schema), doc, features, kind="ONNX graph", batches=batches
    )


# --- inputs ---------------------------------------------------------------------------------------

_Inputs = tuple[Any, Any, Callable[[list[Any]], dict[str, Any]], Features]
"""How a row is made of variables, their JSON schema, how rows become the inputs of the graph, and
the columns of a table.
"""


def _is_table(inputs: list[Any]) -> bool:
    return len(inputs) == 1 and len(inputs[0].shape) == 2 and inputs[0].shape[1] != 1


def _single(table: Any, metadata: dict[str, str]) -> _Inputs:
    import numpy as np

    count = table.shape[1] if isinstance(table.shape[1], int) else None
    kind = NUMPY[table.type]
    names = _names(metadata.get("features", ""))
    if names and count in (None, len(names)):
        row, schema = rows.named(dict.fromkeys(names, _type(kind)))
        features = Features(tuple(names))
    else:
        row, schema = rows.positional(count, _type(kind))
        features = Features(tuple(map(str, range(count or 0))), "place")
    return row, schema, lambda rows: {table.name: np.array(rows, dtype=kind)}, features


def _names(text: str) -> list[str]:
    try:
        found = json.loads(text)
    except ValueError:
        return [name.strip() for name in text.split(",") if name.strip()]
    return [str(name) for name in found] if isinstance(found, list) else []


def _by_name(inputs: list[Any]) -> _Inputs:
    """Return how variables become the inputs of a graph that takes a tensor for each variable."""
    import numpy as np

    types, plans = {}, []
    for place, one in enumerate(inputs):
        shape = one.shape[1:]
        kind = NUMPY[one.type]
        types[one.name] = _type(kind) if shape in ([], [1]) else _nested(_type(kind), shape)
        plans.append((place, one.name, kind, [-1, 1] if shape == [1] else None))
    row, schema = rows.named(types)

    def feed(rows: list[Any]) -> dict[str, Any]:
        filled = {}
        for place, name, kind, shape in plans:
            column = np.array([row[place] for row in rows], dtype=kind)
            filled[name] = column.reshape(shape) if shape else column
        return filled

    return row, schema, feed, Features(tuple(types))


def _type(kind: str) -> Any:
    """Return the JSON type of a numpy type."""
    if kind == "object":
        return str
    if kind == "bool":
        return bool
    return Number if kind.startswith("float") else int


def _nested(kind: Any, shape: list[Any]) -> Any:
    for size in reversed(shape):
        length = size if isinstance(size, int) else None
        kind = Annotated[list[kind], Length(length)]
    return kind


# --- outputs --------------------------------------------------------------------------------------


def _answer(names: list[str]) -> Callable[[list[Any], int], list[dict[str, Any]]]:
    if len(names) == 1:
        return lambda found, count: [{"prediction": value} for value in _rows(found[0], count)]
    if len(names) == 2 and "label" in names[0] and "prob" in names[1]:
        names = ["prediction", "probabilities"]

    def answer(found: list[Any], count: int) -> list[dict[str, Any]]:
        columns = [_rows(part, count) for part in found]
        return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]

    return answer


def _rows(part: Any, count: int) -> list[Any]:
    """Return an output as a list with one element per row.

    An array of shape (rows, 1) gives the values of its column. Raises ValueError if the first
    dimension is not `count`.
    """
    if isinstance(part, list):  # a sequence of maps: each class with its probability
        return [_text_keys(row) if isinstance(row, dict) else row for row in part]
    if part.ndim == 2 and part.shape[1] == 1:
        part = part[:, 0]
    small = single_precision.is_single(part)
    rows: list[Any] = single_precision.listed(part) if small else part.tolist()
    if not isinstance(rows, list) or len(rows) != count:
        raise ValueError(f"the graph gave an output of shape {list(part.shape)} for {count} rows")
    return rows


def _text_keys(row: dict[Any, Any]) -> dict[str, Any]:
    return {results.as_key(key): value for key, value in row.items()}
