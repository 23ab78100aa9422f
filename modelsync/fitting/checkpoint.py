"""The file of a checkpoint: the fitted object after some rows of a stream, from which a killed job
goes on.

A zip without compression, of `state.json`, the artefact, and the rows that are held out.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelsync import json_text
from modelsync.errors import ArtifactCorrupt
from modelsync.fitting.messages import FitResult
from modelsync.models.serialization import from_json, to_json
from modelsync.models.statistics.summary import TableStatistics

STATE, ARTEFACT, HELD_OUT = "state.json", "artefact", "held-out.arrow"


@dataclass(frozen=True, slots=True)
class CheckpointState:
    """What a checkpoint holds besides the artefact, which `made` describes.

    The first `rows` of the `source`, by its digest, are in it; `held_out` of them the object does
    not know. `sample`: the first of them, as
    `trial` calls the model with. `statistics`: of all of them.
    """

    source: str
    rows: int
    made: FitResult
    sample: dict[str, Any] = field(default_factory=dict)
    statistics: TableStatistics | None = None
    held_out: int = 0


def position(file: Path) -> tuple[str, int]:
    """Return of which source a checkpoint is, by digest, and how many rows of it are done.

    Raises ArtifactCorrupt.
    """
    state = read(file)
    return state.source, state.rows


def read(file: Path) -> CheckpointState:
    """Read what a checkpoint holds, but for the artefact. Raises ArtifactCorrupt."""
    try:
        with zipfile.ZipFile(file) as archive:
            return from_json(CheckpointState, json_text.loads(archive.read(STATE)))
    except (OSError, KeyError, TypeError, ValueError, zipfile.BadZipFile) as error:
        raise ArtifactCorrupt(f"a checkpoint cannot be read: {type(error).__name__}") from None


def unpack(file: Path, state: CheckpointState, folder: Path) -> Path:
    """Write the artefact of a checkpoint into a folder; return its path."""
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(file) as archive:
        return Path(archive.extract(ARTEFACT, folder)).rename(folder / state.made.file)


def held_out(file: Path) -> Any:
    """Return the rows that were held out, as an Arrow table. Raises ArtifactCorrupt."""
    import pyarrow as pa

    try:
        with zipfile.ZipFile(file) as archive, pa.ipc.open_stream(archive.read(HELD_OUT)) as stream:
            return stream.read_all()
    except (OSError, KeyError, pa.ArrowInvalid, zipfile.BadZipFile) as error:
        raise ArtifactCorrupt(f"a checkpoint cannot be read: {type(error).__name__}") from None


def write(file: Path, state: CheckpointState, artefact: Path, held_out: Any = None) -> None:
    """Write a checkpoint; the file is complete as soon as it has its name.

    `held_out`: those rows as an Arrow table, None without any.
    """
    partial = file.with_name("checkpoint.part")
    with zipfile.ZipFile(partial, "w") as archive:
        archive.writestr(STATE, json_text.dumps(to_json(state)))
        archive.write(artefact, ARTEFACT)
        if held_out is not None:
            import pyarrow as pa

            with (
                archive.open(HELD_OUT, "w") as entry,
                pa.ipc.new_stream(entry, held_out.schema) as rows,
            ):
                rows.write_table(held_out)
    partial.rename(file)
