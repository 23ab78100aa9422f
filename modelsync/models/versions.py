"""Stored versions of trained models, as the processes that call them know them. Pure data.

A model's code comes from its folder and has the folder's tree hash as version; what its `fit` has
returned is a *fitted version*, numbered from 1 for each model. Both together serve.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Mismatch = Literal["warn", "refuse"]
"""What to do with a version that was made with other libraries than those here."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table that a version was fitted with.

    `dtype` is numpy's or pandas' name of it: float64, int64, bool, object (texts), category,
    datetime64[ns]; empty if it is not known. `nullable`: it had missing values. `categories`: those
    of a category.
    """

    name: str
    dtype: str
    nullable: bool = False
    categories: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class TableSchema:
    """What a version predicts from: a DataFrame with these columns in this order (frame); an array
    of shape (rows, columns), whose columns are named 0, 1 and so on (array); or an array of one
    dimension, such as texts (vector).

    `target`: the column that is predicted, None if it has no name or there are several.
    """

    form: Literal["frame", "array", "vector"]
    columns: tuple[Column, ...] = ()
    target: Column | None = None


@dataclass(frozen=True, slots=True)
class FittedVersion:
    """One stored version of a model; `file` holds what its `fit` has returned, on this machine.

    `number` counts from 1. `key` is the name that its maker gave, or the digest of its data.
    `serializer` is the name of the file's format, which is never guessed, and `sha256` its digest
    in hex, which must be compared before anything is deserialised. `size` is in bytes. `libraries`:
    the versions of Python and the libraries that wrote the file, by name. `call_seconds`: what one
    call took after it was fitted, None if unknown.
    """

    model: str
    number: int
    key: str
    serializer: str
    sha256: str
    size: int
    file: Path
    inputs: TableSchema | None = None
    libraries: dict[str, str] = field(default_factory=dict)
    call_seconds: float | None = None


def serving(code: str, fitted: FittedVersion | None) -> str:
    """Return what answers name as their version: `<tree hash>`, or `<tree hash>+<number>`."""
    return f"{code}+{fitted.number}" if fitted else code


def number_of(name: str) -> int | None:
    """Return the number in "3" or "v3"; None for another text, or a number too large."""
    digits = name.removeprefix("v")
    if digits.isascii() and digits.isdigit() and len(digits) < 10:  # more is no INTEGER
        return int(digits)
    return None
