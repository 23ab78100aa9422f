"""Gives what was fitted to the instance of a model's class."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from modelsync.models.isolation.model_package import ROOT
from modelsync.models.serializers.survey import survey

_CONSTANTS = (str, bytes, int, float, complex, bool, type(None), PurePath, type)

_GIVEN = "_modelsync_given"
"""The attribute for the names of those that `give` has set: no constructor makes them anew."""


def give(instance: Any, fitted: Any) -> None:
    """Set the fitted object as the instance's `model`.

    A `fit` that sets attributes and returns `self`, as scikit-learn's do, has the instance itself
    as its fitted object: then the attributes are given back.
    """
    if is_own(instance, fitted):
        vars(instance).update(vars(fitted))
        vars(instance)[_GIVEN] = frozenset(vars(fitted))
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
    given = before.get(_GIVEN, ())
    for name, value in vars(instance).items():
        if name == _GIVEN:
            continue
        same = name not in given and before.get(name, before) is value
        if not (same and (isinstance(value, _CONSTANTS) or survey(value).unpicklable)):
            vars(state)[name] = value
    return state


def digests(instance: Any) -> dict[str, bytes]:
    """Return a digest of each attribute of an instance that its `fit` may change in place."""
    found = {}
    for name, value in getattr(instance, "__dict__", {}).items():
        if name != "model" and not isinstance(value, _CONSTANTS):
            found[name] = _digest(value)
    return found


def sets_more(instance: Any, before: Mapping[str, Any], digested: Mapping[str, bytes]) -> bool:
    """Return whether a `fit` has changed more attributes than `model`.

    `before`: the attributes before it; `digested`: their `digests`.
    """
    now = digests(instance)
    return _GIVEN in before or any(
        before.get(name, before) is not value or now.get(name) != digested.get(name)
        for name, value in vars(instance).items()
        if name != "model"
    )


def _digest(value: Any) -> bytes:
    """Return a digest of a value; empty if it cannot be pickled."""
    sink = _Digest()
    try:
        pickle.Pickler(sink, protocol=5).dump(value)
    except Exception:  # noqa: BLE001  an object's own methods run
        return b""
    return sink.sha256.digest()


class _Digest(io.RawIOBase):
    """Takes the digest of what is written, and forgets that."""

    def __init__(self) -> None:
        super().__init__()
        self.sha256 = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.sha256.update(data)
        return memoryview(data).nbytes  # a PickleBuffer, of a large array, has no length


def model_of(instance: Any) -> Any:
    """Return the fitted object of an instance, None if it has none."""
    return getattr(instance, "model", None)
