"""The columns that a compiled form of an estimator takes."""

from __future__ import annotations

from typing import Literal

from modelsync.models.artefacts.column_kinds import ColumnKind
from modelsync.models.forms.compiled_model import FormColumn
from modelsync.models.forms.compiler import Target


def of(target: Target) -> tuple[FormColumn, ...]:
    """Return the columns of the inputs of an estimator, in their order."""
    return tuple(
        FormColumn(name, _dtype(kind), kind.nullable)
        for name, kind in zip(target.names, target.kinds, strict=True)
    )


def _dtype(kind: ColumnKind) -> Literal["float64", "bool", "str"]:
    if kind.dtype == "bool":
        return "bool"
    return "str" if kind.dtype in ("object", "category") else "float64"
