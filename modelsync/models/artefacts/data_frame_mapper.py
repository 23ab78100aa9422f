"""The DataFrameMapper of sklearn-pandas, a first step that selects columns of a DataFrame.

It is read by its attributes, without the library: its last release, 2.2.0, cannot be imported
beside scikit-learn 1.7 or newer. A folder with such a pipeline names the versions that it was
pickled with in its `requirements.txt`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def is_one(step: Any) -> bool:
    """Return whether a step is a DataFrameMapper, or is of a class made of it."""
    return any(kind.__name__ == "DataFrameMapper" for kind in type(step).__mro__)


def selections(mapper: Any) -> Iterator[tuple[list[str], list[Any]]]:
    """Yield the columns that each part of a mapper selects by name, and the transformers of it."""
    for columns, transformer, *_ in mapper.features:
        if not callable(columns):
            names = columns if isinstance(columns, list | tuple) else [columns]
            steps = [step for _, step in getattr(transformer, "steps", [("", transformer)])]
            yield [str(name) for name in names], [step for step in steps if step is not None]


def chooses(mapper: Any) -> bool:
    """Return whether a mapper chooses among the columns of each table itself: by functions, or by
    passing on what it has not selected (`default`).
    """
    by_function = any(callable(columns) for columns, *_ in mapper.features)
    return by_function or getattr(mapper, "default", False) is not False
