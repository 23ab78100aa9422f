"""What is known of an estimator and its inputs: what a compiled form of it must take and answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from modelsync.models.artefacts.column_kinds import ColumnKind
from modelsync.models.artefacts.outputs import Output

Form = Literal["array", "frame"]
"""What the first step takes: an array of shape (rows, inputs), or a DataFrame."""


@dataclass(frozen=True, slots=True)
class Target:
    """An estimator whose rows are tuples or lists of one value for each of `names`, in order.

    `estimator`: as it was loaded; `steps`: the transformers and the last estimator, as they are
    called one after the other. `kinds`: what each of the inputs holds. `output`: what the last step
    answers.
    """

    estimator: Any
    steps: tuple[Any, ...]
    names: tuple[str, ...]
    kinds: tuple[ColumnKind, ...]
    form: Form
    output: Output
