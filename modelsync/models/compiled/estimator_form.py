"""The compiled form of an estimator of a class: its methods, as the estimator's own return them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from modelsync.models.compilation import Compilation
from modelsync.models.compiled.accepted_calls import AcceptedCalls, CallReader
from modelsync.models.forms import compiled_model
from modelsync.models.forms.compiled_model import CompiledModel, Computed, NotProven
from modelsync.models.serialization import from_json, to_json

FILE = "estimator.json"

METHODS = ("predict", "predict_proba", "transform")
"""What a form can answer; all else is the estimator's."""


class EstimatorForm:
    """Answers the methods of an estimator.

    `outline`: what it is made of, by which those are told that cannot be it.
    """

    def __init__(
        self,
        model: CompiledModel,
        calls: AcceptedCalls,
        outline: str = "",
        compilation: Compilation = Compilation("compiled"),  # noqa: B008  it never changes
    ) -> None:
        self.calls = calls
        self.methods = frozenset(calls.methods)
        self.outline = outline
        self.compilation = compilation
        self._answer = model.answer
        self._rows = CallReader(calls).rows

    def answer(self, name: str, x: Any, classes: Any) -> Any:
        """Return what the method `name` returns for `x`; `classes`: the estimator's, None without.

        Raises NotProven for what the estimator must answer, and what the back-end raises.
        """
        found = self._answer(self._rows(x))
        kind = self.calls.methods[name]
        if name == "predict_proba":
            return _typed(found.scores, kind)
        return _typed(_predictions(found, classes), kind)


def _predictions(found: Computed, classes: Any) -> Any:
    if found.predictions is not None:
        return found.predictions
    import numpy as np

    return classes[np.asarray(found.scores).argmax(axis=1)]


def _typed(values: Any, kind: str) -> Any:
    """Return an array of a type, or several in a list."""
    import numpy as np

    if values is None:
        raise NotProven("the form does not compute that")
    if kind.startswith("["):
        return [np.asarray(one, dtype=kind[1:-1]) for one in values]
    return np.asarray(values, dtype=kind)


# --- on disk --------------------------------------------------------------------------------------


def is_saved(folder: Path) -> bool:
    """Return whether a folder holds the form of an estimator."""
    return (folder / FILE).is_file()


def save(form: EstimatorForm, compilation: Compilation, folder: Path) -> None:
    """Write what `load` reads, beside the files of the compiled model. Raises OSError."""
    content = {
        "outline": form.outline,
        "calls": to_json(form.calls),
        "compilation": to_json(compilation),
    }
    (folder / FILE).write_text(json.dumps(content), "utf-8")


def load(folder: Path) -> EstimatorForm:
    """Read the form of an estimator. Raises as `compiled_model.load` does."""
    content = json.loads((folder / FILE).read_text("utf-8"))
    return EstimatorForm(
        compiled_model.load(folder),
        from_json(AcceptedCalls, content["calls"]),
        content["outline"],
        from_json(Compilation, content["compilation"]),
    )


def outline(estimator: Any) -> str:
    """Return what an estimator is made of: the names of its classes, and how many inputs it has."""
    steps = [step for _, step in getattr(estimator, "steps", ()) if not isinstance(step, str)]
    inner = f"({', '.join(map(outline, steps))})" if steps else ""
    count = getattr(estimator, "n_features_in_", None)
    return f"{type(estimator).__module__}.{type(estimator).__qualname__}{inner}/{count}"
