"""Answers of a trainable model that has no fitted version yet."""

from __future__ import annotations

from modelsync.errors import NotFitted
from modelsync.models.types import ModelSpec


def not_fitted(spec: ModelSpec, why: str = "") -> NotFitted:
    """Return the error for a prediction, which says how to fit the model."""
    bodies = []
    if "fit" in spec.methods:
        bodies.append('the body {"x": [...], "y": [...]}')
    if "train" in spec.methods:
        bodies.append("no body, which calls its train()")
    how = f"fit one with PUT to this model's URL and {' or '.join(bodies)}"
    waits = "; a version that waits serves after POST to .../versions/<v>/promote"
    return NotFitted(f"{spec.name} has no fitted version{why}: {how}{waits}")


def is_unfitted(error: BaseException, instance: object) -> bool:
    """Return whether a model's code has failed because nothing is fitted.

    That is: an attribute of the model, or of None in its place, is missing; or scikit-learn says
    so.
    """
    if isinstance(error, AttributeError):
        return error.obj is instance or error.obj is None
    if isinstance(error, TypeError):
        return str(error).startswith("'NoneType' object is not")
    return any(one.__name__ == "NotFittedError" for one in type(error).__mro__)


def explained(spec: ModelSpec, error: BaseException) -> NotFitted:
    """Return the error for a prediction that has failed for want of a fitted version."""
    name = getattr(error, "name", None)
    missing = name and isinstance(error, AttributeError) and error.obj is not None
    return not_fitted(spec, f", and nothing has set self.{name}" if missing else "")
