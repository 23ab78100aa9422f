"""What may be wrong with a model that serves, and what looks like one and is none. Pure data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WarningKind = Literal[
    "library-version", "never-called", "failed-call", "ignored-by-git", "no-dict", "training"
]
"""What a warning is about.

`library-version`: an artefact was fitted with another version of its library. `never-called`: the
model has no examples, and nothing tells what to call it with. `failed-call`: a call that the check
made up has failed. `ignored-by-git`: a file that the model has here is not in the repository.
`no-dict`: by its annotation the result is no dict. `training`: it cannot be trained as declared.
"""


@dataclass(frozen=True, slots=True)
class ModelWarning:
    """What may be wrong with a model that serves all the same; the fields are those of `Fault`."""

    kind: WarningKind
    message: str
    file: str | None = None
    line: int | None = None
    hint: str | None = None

    def __str__(self) -> str:
        line = f":{self.line}" if self.line else ""
        place = f"{self.file}{line}: " if self.file else ""
        return f"{place}{self.message}" + (f" ({self.hint})" if self.hint else "")


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A folder or file that looks like a model and is not taken: its path from the folder that
    holds the model folders, the reason, and what to do.
    """

    path: str
    reason: str
    hint: str | None = None
