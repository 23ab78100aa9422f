"""Chooses the form by which an artefact is served: the fastest that answers the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from modelsync.models.artefacts.format import LoadedArtefact
from modelsync.models.compilation import Compilation
from modelsync.models.compiled.compiler import Compiler

TOLERANCE = 1e-6
"""The relative difference of probabilities and numbers that counts as equal, unless set."""

COMPILERS: tuple[Compiler, ...] = ()
"""All compilers, the one that is expected to give the fastest form first."""


def choose(
    artefact: LoadedArtefact,
    examples: Sequence[Mapping[str, Any]],
    folder: Path,
    *,
    tolerance: float = TOLERANCE,
    compilers: Sequence[Compiler] = COMPILERS,
) -> Compilation:
    """Compile an artefact by each compiler, and write the fastest form that is equal into a folder.

    `examples`: the `variables` of the folder's examples; those that the artefact refuses are left
    out. Nothing is written if no form is equal and faster than the estimator. A compiler that
    raises is named in the reason. `estimator_size` and `seconds` are the caller's to fill in.
    """
    raise NotImplementedError
