"""What came of compiling a model's estimator. Pure data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

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

    @property
    def speed(self) -> str:
        """The speed-up as a cell of a table, or one word for why there is none."""
        if self.state == "compiled":
            return f"{_times(self.speedup)} x" if self.speedup else "yes"
        return {"refused": "no", "late": "later", "off": "off"}[self.state]

    def __str__(self) -> str:
        """Return what came of it in a line of words."""
        if self.state != "compiled":
            yet = " yet" if self.state == "late" else ""
            return f"not compiled{yet}: {self.reason or self.difference}"
        found = f"compiled: {self.backend}"
        if self.speedup:
            found += f", {_times(self.speedup)} times as fast"
        if self.speedup_batch:
            found += f" (16 rows: {_times(self.speedup_batch)} times)"
        if self.rows:
            found += f"; {self.rows:,} rows compared, {self._largest_difference()}"
        return found

    def _largest_difference(self) -> str:
        if not self.max_difference:
            return "all equal"
        return f"labels equal, numbers within {self.max_difference:.0e}"

    def described(self) -> dict[str, Any]:
        """Return its fields for JSON, null for an empty text; and `summary`, a line of words."""
        fields = {name: None if one == "" else one for name, one in asdict(self).items()}
        return {**fields, "summary": str(self)}


def too_late(seconds: float) -> Compilation:
    """Return what comes of a model that was not compiled in this time."""
    return Compilation("late", f"it took longer than {float(f'{seconds:.3g}'):g} s")


def _times(factor: float) -> str:
    return f"{factor:,.0f}" if factor >= 10 else f"{factor:.2g}"
