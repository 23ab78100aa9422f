"""Gives what was fitted to the instance of a model's class."""

from __future__ import annotations

from typing import Any

from modelsync.models.isolation.import_hooks import ROOT


def give(instance: Any, fitted: Any) -> None:
    """Set the fitted object as the instance's `model`.

    A `fit` that sets attributes and returns `self`, as scikit-learn's do, has the instance itself
    as its fitted object: then the attributes are given back.
    """
    if fitted is instance:
        return
    if is_own(instance, fitted):
        vars(instance).update(vars(fitted))
    else:
        instance.model = fitted


def is_own(instance: Any, fitted: Any) -> bool:
    """Return whether an object is of the model's class, also of another version of it."""
    kind = type(fitted)
    return (
        kind.__name__ == type(instance).__name__
        and f"{kind.__module__}.".startswith(f"{ROOT}.")
        and hasattr(fitted, "__dict__")
    )


def model_of(instance: Any) -> Any:
    """Return the fitted object of an instance, None if it has none."""
    return getattr(instance, "model", None)
