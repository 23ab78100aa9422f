"""The spool as the collector reads it: files that workers have written, taken in batches.

    home/samples/spool/*.jsonl      samples that wait, each file complete
    home/samples/taken/<id>/        the files of a batch that is being worked on
    home/samples/done/<id>/         the same once all of it is kept, until it is removed

A batch moves by renames, so a collector that is killed at any step goes on with the same files
under the same id, or knows that they are kept. Whoever keeps its samples remembers the id.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import time, time_ns
from typing import Any

from modelsync import json_text
from modelsync.files import listed, remove_tree
from modelsync.inference.sampling import SPOOL, SUFFIX
from modelsync.observability.logs import event

log = logging.getLogger(__name__)

MOST_BYTES = 16 * 1024**2
"""Bytes of a batch, and those of the file that goes beyond."""

LATEST = 4e9
"""Seconds since 1970 that a time can be; a line with another one is broken."""

LEFT_FOR = 3600.0
"""Seconds after which a file that a worker has not finished is what a dead one left."""

_NEEDED = ("id", "model", "time", "rows", "columns", "result")


class SpoolBatch:
    """Some files of the spool."""

    def __init__(self, folder: Path, done: Path) -> None:
        self.id = folder.name
        self._folder = folder
        self._done = done

    def records(self) -> Iterator[dict[str, Any]]:
        """Return the samples, oldest first, as `inference.sample_record` writes them.

        A line that is broken, by a power cut, is left out.
        """
        broken = 0
        for name in sorted(listed(self._folder)):
            with (self._folder / name).open("rb") as lines:
                for line in lines:
                    record = _parsed(line)
                    if record:
                        yield record
                    else:
                        broken += 1
        if broken:
            said = f"{broken} samples are lost: their lines in the spool are broken"
            event(log, logging.WARNING, said, event="samples_lost", count=broken)

    def keep(self) -> None:
        """All of it is kept elsewhere: it never comes again. Raises OSError."""
        self._done.mkdir(mode=0o700, exist_ok=True)
        there = self._folder.rename(self._done / self.id)
        remove_tree(there)


class Spool:
    """The spool of one state directory; one process at a time takes batches."""

    def __init__(self, home: Path) -> None:
        self._waiting = home / SPOOL
        self._taken = self._waiting.with_name("taken")
        self._done = self._waiting.with_name("done")

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        waiting = any(name.endswith(SUFFIX) for name in listed(self._waiting))
        return not waiting and not listed(self._taken)

    def next(self) -> SpoolBatch | None:
        """Return the batch of a process that was killed, else a new one; None without samples.

        Raises OSError.
        """
        for name in listed(self._done):  # killed between the two steps of `keep`
            remove_tree(self._done / name)
        for name in sorted(listed(self._taken)):
            return SpoolBatch(self._taken / name.rstrip("/"), self._done)
        return self._take()

    def _take(self) -> SpoolBatch | None:
        """Make a batch of the oldest files that wait; remove what dead workers have left."""
        names = listed(self._waiting)
        files = sorted(name for name in names if name.endswith(SUFFIX))
        if not files:
            return None
        for name in names.difference(files):
            with suppress(FileNotFoundError):
                if (self._waiting / name).stat().st_mtime < time() - LEFT_FOR:
                    (self._waiting / name).unlink()
        folder = self._taken / f"{time_ns():020d}-{os.getpid()}"
        self._taken.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700)
        size = 0
        for name in files:
            with suppress(FileNotFoundError):
                size += (self._waiting / name).stat().st_size
                (self._waiting / name).rename(folder / name)
            if size > MOST_BYTES:
                break
        return SpoolBatch(folder, self._done)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        record = json_text.loads(line)
    except json_text.JSONDecodeError:
        return None
    if not isinstance(record, dict) or not all(name in record for name in _NEEDED):
        return None
    columns, when = record["columns"], record["time"]
    if not isinstance(columns, dict) or not isinstance(when, int | float):
        return None
    whole = all(isinstance(values, list) for values in columns.values())
    return record if whole and 0 < when < LATEST else None
