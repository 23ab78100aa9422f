"""What a fitting process tells while it runs: its stage in a file, its progress on a pipe."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

from modelsync import json_text
from modelsync.errors.training import JobStage
from modelsync.fitting.messages import STAGE, Progress
from modelsync.models.serialization import to_json

PAUSE = 0.25
"""Seconds between two lines of progress."""

MAX_MESSAGE = 200
"""Characters of a model's message."""


class ProgressReporter:
    """Tells the stage and the progress; `current` is the stage."""

    def __init__(self, fd: int, output: Path) -> None:
        self.current: JobStage = "load"
        self._fd = fd
        self._file = output / STAGE
        self._next = 0.0

    @contextmanager
    def stage(self, name: JobStage) -> Iterator[None]:
        """Mark what happens in the body; after an exception `current` still says where it was."""
        self.current = name
        with suppress(OSError):
            self._file.write_text(name)
        yield

    def rows(self, rows: int, total: int | None, *, last: bool = False) -> None:
        """Tell how many rows the model has taken, of how many; at the `last` ones in any case."""
        self._send(Progress(min(1.0, rows / total) if total else None, rows), now=last)

    def checkpoint(self, rows: int, total: int | None, file: Path) -> None:
        """Tell of a new checkpoint."""
        share = min(1.0, rows / total) if total else None
        self._send(Progress(share, rows, checkpoint=str(file)), now=True)

    def heard(self, value: Any) -> None:
        """Tell what a model's `fit` has yielded: a share from 0 to 1, a text, or both."""
        share, message = None, ""
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, str):
                message = part[:MAX_MESSAGE]
            elif part is not None and not isinstance(part, bool):
                with suppress(TypeError, ValueError):
                    number = float(part)
                    share = min(1.0, max(0.0, number)) if number == number else None
        self._send(Progress(share, message=message))

    def _send(self, progress: Progress, *, now: bool = False) -> None:
        if self._fd < 0 or (monotonic() < self._next and not now):
            return
        self._next = monotonic() + PAUSE
        with suppress(OSError):
            os.write(self._fd, json_text.dumps(to_json(progress)) + b"\n")
