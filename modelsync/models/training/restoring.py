"""Gives what was fitted to the instance of a model's class."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from modelsync.models.isolation.import_hooks import ROOT
from modelsync.models.serializers.survey import survey

_CONSTANTS = (str, bytes, int, float, complex, bool, type(None), PurePath, type)


def give(instance: Any, fitted: Any) -> None:
    """Set the fitted object as the instance's `model`.

    A `fit` that sets attributes and returns `self`, as scikit-learn's do, has the instance itself
    as its fitted object: then the attributes are given back.
    """
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


def changed(instance: Any, before: Mapping[str, Any]) -> Any:
    """Return a copy of an instance with only what its `fit` may have changed since `before`.

    A constant, and what cannot be pickled, such as a lock or a connection, that was there before is
    made by each constructor anew.
    """
    state = object.__new__(type(instance))
    for name, value in vars(instance).items():
        same = before.get(name, before) is value
        if not (same and (isinstance(value, _CONSTANTS) or survey(value).unpicklable)):
            vars(state)[name] = value
    return state


def model_of(instance: Any) -> Any:
    """Return the fitted object of an instance, None if it has none."""
    return getattr(instance, "model", None)
