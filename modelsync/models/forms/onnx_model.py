"""A compiled form that onnxruntime runs: a graph with one input, an array of numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Literal

from modelsync.models.forms import encoding, given_columns, single_finish
from modelsync.models.forms.compiled_model import Computed, FormColumn, NotProven
from modelsync.models.forms.encoding import Encoding
from modelsync.models.forms.finish import Finish

GRAPH = "model.onnx"

Precision = Literal["single", "rounded", "double"]
"""Of the input of the graph: numbers of 32 bits, of 64 that were rounded to 32, as scikit-learn's
trees round them, or of 64.
"""

SHOWN = {"single": "float", "rounded": "float as double", "double": "double"}


class OnnxForm:
    """Encodes rows, and runs a graph. A call uses the thread that calls, and no other.

    `answers`: what the outputs of the graph are, `predictions` and `scores`, in their order;
    `label_type`: the numpy type of labels that no graph gives; `is_flat`: an array of shape (rows,
    1) is answered as one of shape (rows,). `finish`: the one output of the graph holds scores, of
    which it makes the answers; then these others do not matter.
    """

    kind: ClassVar[str] = "onnx"

    def __init__(
        self,
        graph: bytes,
        encoded: Encoding,
        columns: tuple[FormColumn, ...],
        precision: Precision,
        answers: Sequence[str] = (),
        label_type: str | None = None,
        *,
        is_flat: bool = True,
        finish: Finish | None = None,
    ) -> None:
        self.columns = columns
        self.backend = f"onnxruntime ({SHOWN[precision]})"
        self._graph, self._encoding, self._precision = graph, encoded, precision
        self._answers, self._label_type, self._is_flat = list(answers), label_type, is_flat
        self._finish = finish
        self._read = _reader(encoded, precision)
        self._run = _session(graph)
        self._read_outputs = self._finished(finish) if finish else self._outputs()

    def answer(self, rows: Sequence[Sequence[Any]]) -> Computed:
        """Answer rows. Raises NotProven for infinities, and whatever onnxruntime raises."""
        return self._read_outputs(self._run(self._read(rows)))

    def run(self, columns: Sequence[Any]) -> Computed:
        """Answer rows that are given as arrays. Raises as `answer` does."""
        return self.answer(given_columns.rows(self.columns, columns))

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the graph."""
        (folder / GRAPH).write_bytes(self._graph)
        return {
            "encoding": self._encoding.as_json(),
            "precision": self._precision,
            "answers": self._answers,
            "label_type": self._label_type,
            "is_flat": self._is_flat,
            "finish": asdict(self._finish) if self._finish else None,
        }

    @classmethod
    def open(
        cls, folder: Path, columns: tuple[FormColumn, ...], backend: str, facts: dict[str, Any]
    ) -> OnnxForm:
        """Read the graph."""
        return cls(
            (folder / GRAPH).read_bytes(),
            encoding.from_json(facts["encoding"]),
            columns,
            facts["precision"],
            facts["answers"],
            facts["label_type"],
            is_flat=facts["is_flat"],
            finish=Finish.from_json(facts["finish"]) if facts["finish"] else None,
        )

    def _outputs(self) -> Callable[[list[Any]], Computed]:
        """Return the function that makes answers of what the graph gives."""
        kinds, is_flat, label_type = self._answers, self._is_flat, self._label_type
        if kinds == ["scores"]:
            return lambda found: Computed(None, found[0])

        def read(found: list[Any]) -> Computed:
            predictions = found[0]
            if is_flat and predictions.ndim == 2 and predictions.shape[1] == 1:
                predictions = predictions[:, 0]
            if label_type:
                predictions = predictions.astype(label_type)
            if len(found) == 1:
                return Computed(predictions, None)
            scores = found[1]
            return Computed(predictions, list(scores) if scores.ndim == 3 else scores)

        return read

    def _finished(self, finish: Finish) -> Callable[[list[Any]], Computed]:
        """Return the function that makes answers of the scores that the graph gives."""
        if self._precision == "single":
            of_array = single_finish.function(finish)
            return lambda found: of_array(found[0])
        answers, with_base = finish.function(), finish.with_base if any(finish.base) else None

        def read(found: list[Any]) -> Computed:
            scores = found[0]
            listed = (scores[:, 0] if scores.shape[1] == 1 else scores).tolist()
            return answers(with_base(listed) if with_base else listed)

        return read


def _session(graph: bytes) -> Callable[[Any], list[Any]]:
    """Return the function that runs a graph on its input, in the thread that calls it.

    A pool of threads would not survive the fork of the workers. Several threads may call it at
    once: onnxruntime says so of `run`.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what it raises is enough
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    (given,) = session.get_inputs()
    name, run = given.name, session.run
    return lambda x: run(names, {name: x})


def _reader(encoded: Encoding, precision: Precision) -> Callable[[Any], Any]:
    """Return the function that makes the input of a graph of rows; it raises NotProven."""
    import numpy as np

    encode = None if encoded.is_identity else encoding.encoder(encoded)
    has_nulls, single, errstate = encoded.has_nulls, np.float32, np.errstate

    def read(rows: Any) -> Any:
        found = np.array(encode(rows) if encode else rows, dtype=np.float64)
        if precision != "double":
            with errstate(over="ignore"):
                found = found.astype(single)
        if np.isinf(found).any() if has_nulls else not math.isfinite(found.sum()):
            raise NotProven("infinite, or too large")
        return found.astype(np.float64) if precision == "rounded" else found

    return read
