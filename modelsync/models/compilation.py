"""What came of compiling a model's estimator. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CompilationState = Literal["compiled", "refused", "late", "off"]


@dataclass(frozen=True, slots=True)
class Compilation:
    """Whether a model is served by a compiled form of its estimator, and how that was proven.

    `state`: `compiled`; `refused`: no compiled form is equal and faster, `reason` says why; `late`:
    it was not done in time, and is tried again; `off`: the settings forbid it. `backend`: what
    computes, with the precision of its inputs, such as `onnxruntime (double)`. `speedup`: how many
    times less processor time a call with one row takes than the estimator; `speedup_batch`: with 16
    rows. `rows`: how many rows were compared. `max_difference`: the largest relative difference of
    a probability or a number on them. `difference`: which row has answers that differ, and how;
    empty if none. `size` and `estimator_size`: bytes of the compiled form and of the estimator it
    was made of, as they are on disk. `seconds`: what it took to compile and to prove it.
    """

    state: CompilationState
    reason: str = ""
    backend: str = ""
    speedup: float | None = None
    speedup_batch: float | None = None
    rows: int = 0
    max_difference: float | None = None
    difference: str = ""
    size: int = 0
    estimator_size: int = 0
    seconds: float = 0.0
