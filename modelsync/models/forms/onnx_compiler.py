"""Makes forms that onnxruntime runs."""

from __future__ import annotations

from typing import Any

from modelsync.models.artefacts import boosting
from modelsync.models.artefacts.steps import FORESTS, is_known, members
from modelsync.models.forms import conversion, encoders, form_columns
from modelsync.models.forms.compiled_model import CompiledModel
from modelsync.models.forms.compiler import NotCompilable, OtherKind, Target
from modelsync.models.forms.onnx_model import SHOWN, OnnxForm, Precision

_OUTPUTS = {"transform": [0], "predict": [0], "most_probable": [1], "both": [0, 1]}


class OnnxCompiler:
    """Converts what the encoding of rows has left of an estimator."""

    is_best = False

    def __init__(self, precision: Precision) -> None:
        self.name = f"onnxruntime ({SHOWN[precision]})"
        self._precision = precision

    def compile(self, target: Target) -> CompiledModel:
        """Make a form. Raises NotCompilable, and ImportError without the libraries."""
        last = target.steps[-1]
        if self._precision == "rounded" and not _rounds(last):
            raise OtherKind(f"{type(last).__name__} does not round its inputs to 32 bits")
        encoding, steps = encoders.read(target)
        if not steps:
            raise NotCompilable("nothing is left to compute")
        outputs = _OUTPUTS[target.output.kind]
        is_single = self._precision == "single"
        graph = conversion.graph(steps, encoding.width, outputs, single=is_single)
        names = {"most_probable": ["scores"], "both": ["predictions", "scores"]}
        answers = names.get(target.output.kind, ["predictions"])
        columns = form_columns.of(target)
        is_flat = target.output.kind != "transform" and not _is_column(last)
        return OnnxForm(
            graph, encoding, columns, self._precision, answers, _label_type(last), is_flat=is_flat
        )


def _rounds(step: Any) -> bool:
    """Return whether an estimator computes with its inputs as numbers of 32 bits."""
    if boosting.is_one(step):
        return type(step).__module__.startswith("xgboost.")
    if not is_known(step):
        return False
    is_tree = type(step).__module__ in (*FORESTS, "sklearn.tree._classes")
    return is_tree or any(map(_rounds, members(step)))


def _label_type(last: Any) -> str | None:
    """Return the type of labels that a graph gives as integers; None if they need no change."""
    classes = getattr(last, "classes_", None)
    kind = getattr(getattr(classes, "dtype", None), "kind", "")
    return {"b": "bool", "f": "float64"}.get(kind)


def _is_column(last: Any) -> bool:
    """Return whether an estimator was fitted with targets of shape (rows, 1), and answers such."""
    if hasattr(last, "classes_"):
        return False
    shapes = [getattr(last, name, None) for name in ("coef_", "_y")]
    return any(getattr(one, "ndim", 1) == 2 for one in shapes)
