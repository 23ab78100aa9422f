"""Counters that all workers of the service share: one memory-mapped file per worker.

A worker writes plain doubles into its own file, so counting takes no lock between processes, and
survives the worker: what it has counted is still there after a `kill -9`. `totals` adds the files
up. A file is two little-endian integers of 4 bytes, the length of the names and `LAYOUT`, the names
as JSON padded to 8 bytes, and a row of `WIDTH` doubles for each name: requests in flight, requests
by reason, seconds, duration histogram, batch histogram, requests in batches, rows that an estimator
has answered in the place of its compiled form.
"""

from __future__ import annotations

import logging
import mmap
import os
import struct
import threading
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from modelsync import errors, json_text

log = logging.getLogger(__name__)

OK, OTHER, LOST = "ok", "other", "lost"
"""Reasons besides those of the request errors: answered with a result; any reason that has no
column of its own; never answered, because the worker has died.
"""

REASONS = (
    OK,
    *(kind.reason for kind in errors.REQUEST_ERRORS),
    OTHER,
    LOST,
    *(errors.rejected_as(status) for status in errors.RequestRejected.COUNTED),
)
"""Why a request got its answer: columns of a row. The server maps them to status codes."""

BUCKETS: Final[Sequence[float]] = (
    0.0001,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
)
"""Upper bounds of the duration histogram in seconds; one more bucket holds all above."""

FASTEST: Final = BUCKETS[0]

BATCH_SIZES: Final[Sequence[int]] = (1, 2, 4, 8, 16, 32, 64, 128)
"""Upper bounds of the histogram of requests per call, for models that take batches.

One more bucket holds all above.
"""

COLUMN: Final = {reason: 1 + index for index, reason in enumerate(REASONS)}
OK_COLUMN: Final = COLUMN[OK]
OTHER_COLUMN: Final = COLUMN[OTHER]
SUM: Final = 1 + len(REASONS)
FIRST_BUCKET: Final = SUM + 1
FIRST_BATCH: Final = FIRST_BUCKET + len(BUCKETS) + 1
BATCHED: Final = FIRST_BATCH + len(BATCH_SIZES) + 1
FALLBACKS: Final = BATCHED + 1
WIDTH = FALLBACKS + 1
ROW = struct.Struct(f"{WIDTH}d")
HEADER = struct.Struct("<II")

LAYOUT = 3
"""The number of this layout. Number 2 had no column for fallbacks, number 1 none for rejected
requests, number 0 counted requests by status code.
"""


def folder(home: Path) -> Path:
    """The folder of the counters in the state directory."""
    return home / "run" / "metrics"


class LoopRow:
    """One model's counters for the event loop's thread: no lock, no look-up.

    `cells` are the `WIDTH` doubles of its row.
    """

    __slots__ = ("cells", "model")

    def __init__(self, model: str, cells: memoryview[float]) -> None:
        self.model = model
        self.cells = cells

    def begin(self, requests: int) -> None:
        """A call starts that answers so many requests."""
        self.cells[0] = requests

    def end(self, requests: int) -> None:
        """That call has ended; the loop runs one at a time."""
        self.cells[0] = 0.0

    def observe(self, reason: str, seconds: float) -> None:
        """A request was answered, for one of `REASONS`, after `seconds`."""
        cells = self.cells
        cells[COLUMN.get(reason, OTHER_COLUMN)] += 1.0
        cells[SUM] += seconds
        cells[FIRST_BUCKET + bisect_left(BUCKETS, seconds)] += 1.0

    def succeeded(self, seconds: float) -> None:
        """A call has ended that answered one request: `end` and `observe` in one."""
        cells = self.cells
        cells[0] = 0.0
        cells[OK_COLUMN] += 1.0
        cells[SUM] += seconds
        bucket = bisect_left(BUCKETS, seconds) if seconds > FASTEST else 0
        cells[FIRST_BUCKET + bucket] += 1.0

    def batch(self, size: int) -> None:
        """One call answered `size` requests."""
        self.cells[FIRST_BATCH + bisect_left(BATCH_SIZES, size)] += 1.0
        self.cells[BATCHED] += size


class SharedRow:
    """One model's counters for all other threads, under the worker's lock."""

    __slots__ = ("_lock", "_row", "model")

    def __init__(self, row: LoopRow, lock: threading.Lock) -> None:
        self.model = row.model
        self._row = row
        self._lock = lock

    def begin(self, requests: int) -> None:
        """A call starts that answers so many requests."""
        with self._lock:
            self._row.cells[0] += requests

    def end(self, requests: int) -> None:
        """That call has ended."""
        with self._lock:
            self._row.cells[0] -= requests

    def observe(self, reason: str, seconds: float) -> None:
        """A request was answered, for one of `REASONS`, after `seconds`."""
        with self._lock:
            self._row.observe(reason, seconds)

    def fell_back(self, rows: int) -> None:
        """The model's estimator has answered these rows in the place of its compiled form."""
        with self._lock:
            self._row.cells[FALLBACKS] += rows

    def batch(self, size: int) -> None:
        """One call answered `size` requests."""
        with self._lock:
            self._row.batch(size)


class Row(Protocol):
    """One model's counters, as calls use them: of a worker, or of a runner, whose worker counts."""

    @property
    def model(self) -> str:
        """The name of the model."""

    def begin(self, requests: int) -> None:
        """A call starts."""

    def end(self, requests: int) -> None:
        """That call has ended."""

    def observe(self, reason: str, seconds: float) -> None:
        """A request was answered."""

    def batch(self, size: int) -> None:
        """One call answered several requests."""


class ThreadsRow(Row, Protocol):
    """The same for all threads."""

    def fell_back(self, rows: int) -> None:
        """The estimator has answered rows in place of its compiled form."""


class OneThreadRow(Row, Protocol):
    """The same for the one thread that makes fast calls."""

    def succeeded(self, seconds: float) -> None:
        """A call has ended that answered one request."""


class CallCounters(Protocol):
    """The counters of all models, as calls use them."""

    @property
    def rows(self) -> Mapping[str, ThreadsRow]:
        """Those for threads, by model."""

    def loop_row(self, model: str) -> OneThreadRow:
        """That for the one thread that makes fast calls."""

    def answered(self) -> None:
        """The process ends, and all its clients have their answers."""


class Counters:
    """One worker's counters for a fixed list of models.

    Each model has two rows, which are added up like those of two workers: `rows` has the one for
    threads, `loop_row` gives the one that the event loop's thread alone writes.
    """

    def __init__(self, directory: Path, models: Sequence[str], pid: int | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / f"{pid or os.getpid()}.counters"
        names = json_text.dumps([*models, *models])
        names += b" " * (-len(names) % 8)
        size = HEADER.size + len(names) + 8 * WIDTH * 2 * max(1, len(models))
        self._map = _page(self.path, size)
        rows = HEADER.size + len(names)
        self._map[HEADER.size : rows] = names
        HEADER.pack_into(self._map, 0, len(names), LAYOUT)  # the last: until then nobody reads it
        self._cells = memoryview(self._map)[rows:].cast("d")
        self._base = {name: index * WIDTH for index, name in enumerate(models)}
        self._lock = threading.Lock()
        self.rows = {
            name: SharedRow(LoopRow(name, self._cells[base : base + WIDTH]), self._lock)
            for name, base in self._base.items()
        }

    def loop_row(self, model: str) -> LoopRow:
        """The row of `model` for the event loop's thread."""
        base = self._base[model] + len(self._base) * WIDTH
        return LoopRow(model, self._cells[base : base + WIDTH])

    def answered(self) -> None:
        """The worker ends, and all its clients have their answers.

        Calls that still run have been given up.
        """
        with self._lock:
            for base in range(0, len(self._cells), WIDTH):
                self._cells[base] = 0.0


def _page(path: Path, size: int) -> mmap.mmap:
    """A mapped file with all of its blocks allocated: writing to a page without a block is a
    SIGBUS.

    On a full disk it is memory that no other process sees: the worker serves, but its counts are
    lost.
    """
    try:
        # A file of the same pid, left by a worker of an earlier boot, was folded away before this
        # worker was forked.
        path.unlink(missing_ok=True)
        with path.open("w+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)
            return mmap.mmap(file.fileno(), size)
    except OSError as error:
        log.error("the requests of worker %s are not counted: %s", path.stem, error.strerror)
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return mmap.mmap(-1, size)
