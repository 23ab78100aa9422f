"""What a format of artefacts defines, and what loading an artefact gives."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    # Not at run time: discovery imports the formats, and has no use for pydantic.
    from modelsync.models.artefacts.target import Target
    from modelsync.models.binding.batching import Batch


@dataclass(frozen=True, slots=True)
class Features:
    """What an artefact takes, as columns of a table with several rows.

    `names`: those of the columns, in order; without names of their own `0`, `1` and so on. `given`:
    how a row of them becomes `variables`: as members by `name`, as the list `x` by `place`; `all`:
    as members, and columns of other names too, since the artefact chooses among them itself.
    """

    names: tuple[str, ...]
    given: Literal["name", "place", "all"] = "name"


@dataclass(frozen=True, slots=True)
class LoadedArtefact:
    """An artefact in memory: the model in it, how it is called, and a text for the API reference.

    `batches`: one call can take several rows. `kind`: the type of the model, such as
    `LogisticRegression`; `steps`: the names of the steps of a pipeline, in order. `noted`: the
    texts of the warnings with which its library has loaded it. `target`: of an estimator, what a
    compiled form of it takes and answers; None if its rows are no values of columns. `backend`:
    what computes in its place; empty if it answers itself.
    """

    instance: Any
    batch: Batch
    doc: str
    features: Features
    kind: str
    steps: tuple[str, ...] = ()
    batches: bool = True
    noted: tuple[str, ...] = ()
    target: Target | None = None
    backend: str = ""


@dataclass(frozen=True, slots=True)
class ArtefactFormat:
    """A kind of file that is a model by itself.

    `pattern`: the names of such files, as a regular expression that the whole name matches; None if
    names tell nothing. `begins`: tells such a file by its first `HEAD` bytes, whatever its name.
    `load`: reads the file and decides how the model is called, without calling it; it imports the
    library of the format only then. It raises ModelBroken if the file holds no model, and whatever
    the library raises.
    """

    name: str
    pattern: re.Pattern[str] | None
    load: Callable[[Path], LoadedArtefact]
    begins: Callable[[bytes], bool] = lambda head: False


HEAD = 512
"""Bytes of a file that tell its format."""
