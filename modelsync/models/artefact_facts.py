"""What an artefact tells of itself. Pure data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ArtefactFacts:
    """What an artefact has told of itself when it was loaded.

    `features`: the names of the columns that it takes, in order. `kind`: the type of the model,
    such as `LogisticRegression`. `steps`: the names of the steps of a pipeline. `backend`: what
    computes in its place, as `Compilation.backend`; empty if it answers itself.
    """

    features: tuple[str, ...]
    kind: str
    steps: tuple[str, ...] = ()
    backend: str = ""
