"""What a fitting process is told at its start, and what it says. Pure data; JSON on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from modelsync.errors.training import JobStage
from modelsync.models.serialization import from_json, to_json
from modelsync.models.statistics.summary import TableStatistics
from modelsync.models.types import ModelSpec
from modelsync.models.versions import FittedVersion, TableSchema

Kind = Literal["fit", "train", "update", "upload", "fill"]
"""The kinds of jobs, as `store.records.JobKind`; and `fill`, which calls the method of that name
with the `date` of `params`, and makes a file of rows in place of an artefact.
"""

RESULT = "result.json"
"""The file in the output folder that holds the `FitResult`."""

STAGE = "stage"
"""The file there that holds the stage of this moment: what a process did that has ended."""

END = b"modelsync.rows"
"""The key of the metadata of a stream's last batch, which has no rows; the value is how many all
others have. A stream without it has broken off.
"""


@dataclass(frozen=True, slots=True)
class FitJob:
    """A job of one model.

    `parent`: the process with which this one ends. `output`: an empty folder for the artefact,
    checkpoints and the result.

    The data of `fit` and `update` is one of two. `input`: a file with the JSON object `{"x": ...,
    "y": ...}`; `x` is a list of rows or columns by name, `y` the same or a list of values.
    `batches`: the descriptor of a pipe with an Arrow IPC stream, as `training.feed` writes it;
    `target` are its columns that are y, `rows` how many the source has in all, None if unknown.
    `source`: the source's digest, empty if a job cannot go on in the midst of it; then there are
    no checkpoints.

    `planned`: the data is the source that the class declares. `test_size`: the share of its rows
    that is held out to evaluate the new version with, and `current`, the one that serves.

    `base`: the version that `update` starts from. `upload`: the file of an `upload`.
    `checkpoint`: the file from which a killed job goes on, of the same `source`; then `batches` has
    only the rows after it. Another one is written every `checkpoint_seconds`.

    `serializer`: the format that the settings ask for. `promote`: whether the version becomes
    current unless the model refuses; `old_metrics` are those of the version that is current, None
    without one. `memory`: bytes that the process may allocate, None for no limit. `progress` and
    `crash`: descriptors of a pipe for lines of `Progress` and of an unnamed file for the crash
    report, negative without one.
    """

    spec: ModelSpec
    kind: Kind
    parent: int
    output: Path
    params: dict[str, Any] = field(default_factory=dict)
    input: Path | None = None
    batches: int = -1
    target: tuple[str, ...] = ()
    rows: int | None = None
    source: str = ""
    planned: bool = False
    test_size: float = 0.0
    current: FittedVersion | None = None
    base: FittedVersion | None = None
    upload: Path | None = None
    checkpoint: Path | None = None
    checkpoint_seconds: float = 60.0
    serializer: str = "auto"
    promote: bool = True
    old_metrics: dict[str, Any] | None = None
    memory: int | None = None
    progress: int = -1
    crash: int = -1
    log_format: str = "text"
    log_level: str = "info"

    def to_json(self) -> dict[str, Any]:
        """Return it as an object of JSON types."""
        return to_json(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FitJob:
        """Read what `to_json` returned."""
        return from_json(cls, values)


@dataclass(frozen=True, slots=True)
class Progress:
    """One line of the progress pipe, a JSON object.

    `progress` is from 0 to 1, None if unknown; `rows` are those that the model has taken.
    `checkpoint`: the path of a file that holds the state after those rows. Its reader stores it,
    then removes it; the next one is written only when it is gone.
    """

    progress: float | None = None
    rows: int | None = None
    message: str = ""
    checkpoint: str = ""


@dataclass(frozen=True, slots=True)
class FitError:
    """Why a job has failed. `kind` is the exception's type; `file`, in the model's folder, and
    `line` say where. No message has a path of this machine, a secret or a traceback. `report`: that
    of the check of the data, as JSON, if it broke its schema.
    """

    stage: JobStage
    kind: str
    message: str
    file: str | None = None
    line: int | None = None
    hint: str | None = None
    report: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class FitResult:
    """What a job has made: the artefact `file`, a name in the output folder; or its `error`.

    `sha256` is its digest in hex, `size` in bytes. `metrics`: numbers by name. `rows`: how many it
    was fitted with, None if unknown. `call_seconds`: what one prediction takes. `promote`: whether
    the version may become current; `verdict` says why not. `statistics`: of those rows, None if
    they are not known. `comparison`: with the current version, as `store.records.NewVersion` has
    it; None if nothing was compared.
    """

    serializer: str = ""
    file: str = ""
    sha256: str = ""
    size: int = 0
    inputs: TableSchema | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)
    rows: int | None = None
    call_seconds: float | None = None
    promote: bool = True
    verdict: str = ""
    error: FitError | None = None
    statistics: TableStatistics | None = None
    comparison: dict[str, Any] | None = None
