"""Makes forms in plain Python of linear models, and of pipelines that only transform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from modelsync.models.artefacts.steps import is_known
from modelsync.models.forms import encoders, form_columns
from modelsync.models.forms.compiled_model import CompiledModel
from modelsync.models.forms.compiler import NotCompilable, OtherKind, Target
from modelsync.models.forms.encoding import Encoding, Scaled
from modelsync.models.forms.finish import Finish, Link
from modelsync.models.forms.linear_model import LinearForm

MAX_TERMS = 64
"""Products in all scores together, above which onnxruntime is faster for 16 rows."""

_CLASSIFIERS: dict[str, tuple[Link, Link]] = {
    "LogisticRegression": ("sigmoid", "softmax"),
    "LogisticRegressionCV": ("sigmoid", "softmax"),
    "LinearDiscriminantAnalysis": ("sigmoid", "softmax"),
    "SGDClassifier": ("sigmoid", "one_vs_rest"),
    **dict.fromkeys(
        (
            "LinearSVC",
            "PassiveAggressiveClassifier",
            "Perceptron",
            "RidgeClassifier",
            "RidgeClassifierCV",
        ),
        ("identity", "identity"),
    ),
}
"""How scikit-learn's linear classifiers make probabilities of scores, of two and of more."""

_REGRESSORS = ("sklearn.linear_model.", "sklearn.svm._classes", "sklearn.cross_decomposition.")
_LINKS: dict[str, Link] = {"IdentityLink": "identity", "LogLink": "exp"}
"""Those of generalised linear models."""


class LinearCompiler:
    """Writes a linear model and the encoding of its rows as one function."""

    name = "Python (double)"
    is_best = True

    def compile(self, target: Target) -> CompiledModel:
        """Make a form. Raises NotCompilable."""
        encoding, steps = encoders.read(target)
        columns = form_columns.of(target)
        if not steps:
            return LinearForm(encoding, columns, (), (), Finish("predictions"), is_single=False)
        last = steps[-1]
        if len(steps) > 1 or not is_known(last):
            raise OtherKind(f"{type(steps[0]).__name__} is no linear model")
        if type(last).__name__ == "RANSACRegressor":
            last = last.estimator_
        if hasattr(last, "_x_mean"):  # of partial least squares
            encoding = _centred(encoding, last._x_mean.tolist())
        weights = _dense(last)
        if weights.size > MAX_TERMS:
            raise OtherKind(f"{weights.size} products are too many for Python")
        is_single = weights.ndim == 1 or hasattr(last, "classes_")
        finish = _finish(last, target)
        is_single = is_single and len(finish.labels) <= 2
        rows = weights.reshape(-1, encoding.width).tolist()
        constants = _constants(last, len(rows))
        return LinearForm(encoding, columns, rows, constants, finish, is_single=is_single)


def _dense(last: Any) -> Any:
    """Return the weights of a linear model. Raises NotCompilable if it is none that is known."""
    import numpy as np

    kind = type(last)
    known = kind.__name__ in _CLASSIFIERS or (
        kind.__module__.startswith(_REGRESSORS) and not hasattr(last, "classes_")
    )
    weights = getattr(last, "coef_", None)
    if not known or weights is None:
        raise OtherKind(f"{kind.__name__} is no linear model")
    dense = weights.toarray() if hasattr(weights, "toarray") else weights
    return np.asarray(dense, dtype=np.float64)


def _constants(last: Any, count: int) -> list[float]:
    import numpy as np

    found = np.ravel(np.asarray(last.intercept_, dtype=np.float64)).tolist()
    return found * count if len(found) == 1 else found


def _centred(encoding: Encoding, means: Sequence[float]) -> Encoding:
    """Return the encoding with a mean taken off each number."""
    if not all(isinstance(one, Scaled) for one in encoding.blocks):
        raise NotCompilable("categories are not centred")
    pairs = zip(encoding.blocks, means, strict=True)
    return replace(encoding, blocks=tuple(one.done("-", mean) for one, mean in pairs))  # type: ignore[union-attr]


def _finish(last: Any, target: Target) -> Finish:
    """Return how scores become answers. Raises NotCompilable."""
    classes = getattr(last, "classes_", None)
    if classes is None:
        loss = getattr(last, "_base_loss", None)
        link = "IdentityLink" if loss is None else type(loss.link).__name__
        if link not in _LINKS:
            raise NotCompilable(f"{type(last).__name__} with {link} is not known")
        return Finish("predictions", _LINKS[link])
    if isinstance(classes, list) or getattr(classes, "ndim", 1) != 1:
        raise NotCompilable("several labels in each row")
    if getattr(last, "loss", "log_loss") == "modified_huber":
        raise NotCompilable("the loss modified_huber is not known")
    labels = tuple(classes.tolist())
    links = _CLASSIFIERS[type(last).__name__]
    answers = {"most_probable": "scores", "both": "both"}.get(target.output.kind, "predictions")
    return Finish(answers, links[len(labels) > 2], labels)  # type: ignore[arg-type]
