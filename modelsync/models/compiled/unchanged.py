"""Notices that an estimator was changed since its form was found."""

from __future__ import annotations

from collections.abc import Iterator
from operator import is_, itemgetter
from typing import Any

HARMLESS = {"n_jobs", "verbose", "_transformers_feature_names_out"}
"""Attributes that change no answer: parameters that people set on what they have loaded, and what
ColumnTransformer replaces at each call where its output is a DataFrame.
"""


class Unchanged:
    """Returns whether an estimator, and each step of a pipeline, has the attributes that it had.

    Compared is which objects they are, which takes a microsecond: `fit`, `partial_fit` and
    `set_params` replace some. It does not see a change inside of an array or of a tree.
    """

    def __init__(self, estimator: Any) -> None:
        self._parts = [_held(vars(one)) for one in _parts(estimator)]

    def __call__(self) -> bool:
        """Return whether nothing was replaced."""
        try:
            return all(all(map(is_, get(now), held)) for now, get, held in self._parts)
        except KeyError:
            return False


def _held(attributes: dict[str, Any]) -> tuple[dict[str, Any], Any, tuple[Any, ...]]:
    names = [name for name in attributes if name not in HARMLESS]
    get = itemgetter(*names, *names[:1]) if names else lambda attributes: ()
    return attributes, get, get(attributes)


def _parts(estimator: Any) -> Iterator[Any]:
    yield estimator
    for _, step in getattr(estimator, "steps", ()):
        if hasattr(step, "__dict__"):
            yield from _parts(step)
