"""Updates what was fitted by scikit-learn's `partial_fit`, for a class without an `update`."""

from __future__ import annotations

from typing import Any

from modelsync.errors import DataInvalid, NotTrainable
from modelsync.models.tables import answers
from modelsync.models.tables.table import shown
from modelsync.models.training import signatures
from modelsync.models.training.data import Data
from modelsync.models.training.restoring import model_of


def update(name: str, instance: Any, data: Data) -> Any:
    """Call the `partial_fit` of a model's fitted estimator, with `classes` if this is its first
    call. Raises NotTrainable if it has none, DataInvalid for labels that it does not know.
    """
    model = model_of(instance)
    if not callable(getattr(model, "partial_fit", None)):
        raise NotTrainable(_why_not(name, model), ("GET", "POST", "PUT", "DELETE"))
    method = signatures.read(model, "partial_fit")
    if method.needs_y and data.y is None:
        raise DataInvalid(f"y is missing: a {type(model).__name__} is updated with x and y")
    classes = getattr(model, "classes_", None)
    extra: dict[str, Any] = {}
    names = [one.name for one in method.others]
    if "classes" in names and classes is None:
        extra = {"classes": sorted(set(_values(data.y)))}
    elif classes is not None and data.y is not None:
        _refuse_new_labels(_values(data.y), answers.listed(classes))
    return method.call(data.inputs_of(method), data.target_of(method), extra)


def _why_not(name: str, model: Any) -> str:
    """Return why a model cannot be updated."""
    kind = type(model).__name__
    steps = getattr(model, "steps", None)
    last = steps[-1][1] if isinstance(steps, list) and steps else None
    if callable(getattr(last, "partial_fit", None)):
        return (
            f"{name} cannot be updated: scikit-learn's {kind} has no partial_fit, though its last "
            f"step {type(last).__name__} has; write update(self, x, y), which transforms x by the "
            "other steps and calls that one"
        )
    return (
        f"{name} cannot be updated: it has no update(self, x, y), and its fitted {kind} has no "
        "partial_fit; fit it anew with PUT"
    )


def _values(y: Any) -> list[Any]:
    """Return the values of one column."""
    return list(next(iter(y.values()))) if isinstance(y, dict) else answers.listed(y)


def _refuse_new_labels(values: list[Any], classes: list[Any]) -> None:
    known = set(map(str, classes))
    if new := sorted({str(one) for one in values} - known):
        raise DataInvalid(
            f"y has labels that the version was not fitted with: {shown(new)}; it knows "
            f"{shown(classes)}; fit it anew with all of them"
        )
