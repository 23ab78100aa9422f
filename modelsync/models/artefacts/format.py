"""What a format of artefacts defines, and what loading an artefact gives."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # Not at run time: discovery imports the formats, and has no use for pydantic.
    from modelsync.models.binding.batching import Batch


@dataclass(frozen=True, slots=True)
class LoadedArtefact:
    """An artefact in memory: the model in it, how it is called, and a text for the API reference.

    `batches`: one call can take several rows.
    """

    instance: Any
    batch: Batch
    doc: str
    batches: bool = True


@dataclass(frozen=True, slots=True)
class ArtefactFormat:
    """A kind of file that is a model by itself.

    `pattern`: the names of such files, as a regular expression that the whole name matches. `load`:
    reads the file and decides how the model is called, without calling it; it imports the library
    of the format only then. It raises ModelBroken if the file holds no model, and whatever the
    library raises.
    """

    name: str
    pattern: re.Pattern[str]
    load: Callable[[Path], LoadedArtefact]
