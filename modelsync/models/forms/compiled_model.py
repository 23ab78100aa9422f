"""A compiled form of an estimator: what computes its answers in its place.

It is kept as a folder with `form.json`, which names the kind of the form and its columns, and with
the files of that kind.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np

DESCRIPTION = "form.json"

FORMAT = 1
"""The number of the layout of such a folder; a form of another number is made again."""

KINDS = {
    "linear": ("modelsync.models.forms.linear_model", "LinearForm"),
    "onnx": ("modelsync.models.forms.onnx_model", "OnnxForm"),
}
"""Where the class of each kind of form is, by the kind that `form.json` names."""


class NotProven(ValueError):
    """A value is of a type, or outside of the range, for which the form was not compared with the
    estimator: the estimator must answer.
    """


@dataclass(frozen=True, slots=True)
class FormColumn:
    """An input of a compiled form, with the numpy type of its array; `str`: an array of objects.

    `null`: whether a value may be missing: NaN among numbers, None among texts.
    """

    name: str
    dtype: Literal["float64", "float32", "int64", "bool", "str"]
    null: bool = False


class Computed(NamedTuple):
    """What a form computes, with an element per row, as arrays or as lists.

    `predictions`: what `predict` or `transform` of the estimator returns; None where the label
    follows from the probabilities (`Output.kind` is `most_probable`). `scores`: what
    `predict_proba` returns, a list of arrays for several outputs; None without probabilities.
    """

    predictions: Any
    scores: Any


class CompiledModel(Protocol):
    """Computes the answers of an estimator.

    `kind`: that of `KINDS`. `backend`: what computes, with its precision, as people read it, such
    as `onnxruntime (double)`. `columns`: the inputs, in the order of the estimator's. Calls from
    several threads at once are safe, and so are calls after a fork.
    """

    kind: ClassVar[str]
    columns: tuple[FormColumn, ...]
    backend: str

    def answer(self, rows: Sequence[Sequence[Any]]) -> Computed:
        """Answer rows as `Batch.row` gives them: one value per column.

        Raises NotProven for a value of a type or a range that was not compared, and whatever the
        back-end raises.
        """

    def run(self, columns: Sequence[np.ndarray[Any, Any]]) -> Computed:
        """Answer rows that are given as one array of shape (rows,) per column, of any type.

        Raises as `answer` does.
        """

    def save(self, folder: Path) -> dict[str, Any]:
        """Write the files of the form and return what else `open` needs, as JSON has it."""

    @classmethod
    def open(
        cls, folder: Path, columns: tuple[FormColumn, ...], backend: str, facts: dict[str, Any]
    ) -> CompiledModel:
        """Read what `save` has written, and returned as `facts`."""


def save(model: CompiledModel, folder: Path) -> None:
    """Write a form into a folder, which must exist. Raises OSError."""
    description = {
        "format": FORMAT,
        "kind": model.kind,
        "backend": model.backend,
        "columns": [asdict(column) for column in model.columns],
        "facts": model.save(folder),
    }
    (folder / DESCRIPTION).write_text(json.dumps(description), "utf-8")


def is_saved(folder: Path) -> bool:
    """Return whether a folder holds a form."""
    return (folder / DESCRIPTION).is_file()


def load(folder: Path) -> CompiledModel:
    """Read a form from a folder.

    Raises OSError, ValueError if it is none or of another format, ImportError without its library,
    and what that raises.
    """
    description = json.loads((folder / DESCRIPTION).read_text("utf-8"))
    if description["format"] != FORMAT:
        raise ValueError(f"a compiled form of format {description['format']}, expected {FORMAT}")
    module, name = KINDS[description["kind"]]
    kind: type[CompiledModel] = getattr(import_module(module), name)
    columns = tuple(FormColumn(**one) for one in description["columns"])
    return kind.open(folder, columns, description["backend"], description["facts"])
