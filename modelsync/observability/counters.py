"""Counters that all workers of the service share: one memory-mapped file per worker, added up when
somebody asks.

A worker writes plain doubles into its own file, so counting takes no lock between processes and
survives the worker: what it had counted is still there after a `kill -9`. When a worker has ended
its file is folded into `retired.json`; requests whose calls run according to it were lost, because
a worker that ends as it should wipes them out. The layout is private to this module; the file's
first line names the rows.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
import struct
import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import orjson

from modelsync import errors

log = logging.getLogger(__name__)

OK, OTHER, LOST = "ok", "other", "lost"
"""Reasons besides those of the request errors: answered with a result; any reason that has no column
of its own; never answered, because the worker has died.
"""

REASONS = (
    OK,
    *(kind.reason for kind in errors.REQUEST_ERRORS),
    OTHER,
    LOST,
)
"""Why a request got the answer that it got: the columns of a row. Statuses are HTTP's affair."""

BUCKETS = (
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

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
"""Upper bounds of the histogram of requests per call, for models that take batches; one more bucket
holds all above.
"""

_COLUMN = {reason: 1 + index for index, reason in enumerate(REASONS)}
_OTHER = _COLUMN[OTHER]
_SUM = 1 + len(REASONS)
_FIRST_BUCKET = _SUM + 1
_FIRST_BATCH = _FIRST_BUCKET + len(BUCKETS) + 1
_BATCHED = _FIRST_BATCH + len(BATCH_SIZES) + 1
WIDTH = _BATCHED + 1
_ROW = struct.Struct(f"{WIDTH}d")
_HEADER = 8


def folder(home: Path) -> Path:
    """Where the counters lie in the state directory."""
    return home / "run" / "metrics"


@dataclass(slots=True)
class Totals:
    """What one model has answered. `reasons`: requests by one of `REASONS`; `buckets`: counts by upper bound,
    not cumulated.

    `batches`: calls with several requests by `BATCH_SIZES`, `batched`: the requests in them.
    """

    in_flight: float = 0.0
    reasons: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    buckets: list[float] = field(default_factory=lambda: [0.0] * (len(BUCKETS) + 1))
    batches: list[float] = field(default_factory=lambda: [0.0] * (len(BATCH_SIZES) + 1))
    batched: float = 0.0

    def add(self, row: Sequence[float], *, alive: bool) -> None:
        """Add a worker's row; requests that are in flight where it no longer lives are lost."""
        if alive:
            self.in_flight += row[0]
        elif row[0] > 0:
            self.reasons[LOST] = self.reasons.get(LOST, 0.0) + row[0]
        for reason, index in _COLUMN.items():
            if row[index]:
                self.reasons[reason] = self.reasons.get(reason, 0.0) + row[index]
        self.seconds += row[_SUM]
        self.buckets = [
            old + new
            for old, new in zip(self.buckets, row[_FIRST_BUCKET:_FIRST_BATCH], strict=True)
        ]
        self.batches = [
            old + new for old, new in zip(self.batches, row[_FIRST_BATCH:_BATCHED], strict=True)
        ]
        self.batched += row[_BATCHED]


class LoopRow:
    """One model's counters for the event loop's thread: no lock, no look-up."""

    __slots__ = ("_base", "_rows", "model")

    def __init__(self, model: str, rows: memoryview[float], base: int) -> None:
        self.model = model
        self._rows = rows
        self._base = base

    def begin(self, requests: int) -> None:
        """A call starts that answers so many requests."""
        self._rows[self._base] = requests

    def end(self, requests: int) -> None:
        """That call has ended; the loop runs one at a time."""
        self._rows[self._base] = 0.0

    def observe(self, reason: str, seconds: float) -> None:
        """A request was answered, for one of `REASONS`, after `seconds`."""
        rows, base = self._rows, self._base
        rows[base + _COLUMN.get(reason, _OTHER)] += 1.0
        rows[base + _SUM] += seconds
        rows[base + _FIRST_BUCKET + bisect_left(BUCKETS, seconds)] += 1.0

    def batch(self, size: int) -> None:
        """One call answered `size` requests."""
        self._rows[self._base + _FIRST_BATCH + bisect_left(BATCH_SIZES, size)] += 1.0
        self._rows[self._base + _BATCHED] += size


class SharedRow:
    """One model's counters for all other threads, under the worker's lock."""

    __slots__ = ("_lock", "_row", "model")

    def __init__(self, row: LoopRow, lock: threading.Lock) -> None:
        self.model = row.model
        self._row = row
        self._lock = lock

    def begin(self, requests: int) -> None:
        """A call starts that answers so many requests."""
        row = self._row
        with self._lock:
            row._rows[row._base] += requests

    def end(self, requests: int) -> None:
        """That call has ended."""
        row = self._row
        with self._lock:
            row._rows[row._base] -= requests

    def observe(self, reason: str, seconds: float) -> None:
        """A request was answered, for one of `REASONS`, after `seconds`."""
        with self._lock:
            self._row.observe(reason, seconds)


Row = LoopRow | SharedRow


class Counters:
    """One worker's counters for a fixed list of models.

    Each model has two rows, which are added up like those of two workers: `rows` has the one for
    threads, `loop_row` gives the one that the event loop's thread alone writes.
    """

    def __init__(self, directory: Path, models: Sequence[str], pid: int | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.path = directory / f"{pid or os.getpid()}.counters"
        names = orjson.dumps([*models, *models])
        names += b" " * (-len(names) % 8)
        size = _HEADER + len(names) + 8 * WIDTH * 2 * max(1, len(models))
        self._map = _page(self.path, size)
        self._map[:_HEADER] = len(names).to_bytes(_HEADER, "little")
        self._map[_HEADER : _HEADER + len(names)] = names
        self._cells = memoryview(self._map)[_HEADER + len(names) :].cast("d")
        self._base = {name: index * WIDTH for index, name in enumerate(models)}
        self._lock = threading.Lock()
        self.rows = {
            name: SharedRow(LoopRow(name, self._cells, base), self._lock)
            for name, base in self._base.items()
        }

    def loop_row(self, model: str) -> LoopRow:
        """The row of `model` for the event loop's thread."""
        return LoopRow(model, self._cells, self._base[model] + len(self._base) * WIDTH)

    def answered(self) -> None:
        """The worker ends, and all its clients have their answers.

        What still runs are calls that were given up.
        """
        with self._lock:
            for base in range(0, len(self._cells), WIDTH):
                self._cells[base] = 0.0


def _page(path: Path, size: int) -> mmap.mmap:
    """A mapped file, all of it on the disk: writing to a page that has no room there would be a
    SIGBUS.

    On a full disk it is memory that nobody else sees: better a worker that does not count than one
    that does not serve.
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


def _rows(path: Path) -> Iterator[tuple[str, list[float]]]:
    raw = path.read_bytes()
    length = int.from_bytes(raw[:_HEADER], "little")
    if not 0 < length <= len(raw) - _HEADER:  # its worker has not written the header yet
        return
    names = orjson.loads(raw[_HEADER : _HEADER + length])
    if len(raw) < _HEADER + length + len(names) * _ROW.size:  # another version's layout
        return
    for index, name in enumerate(names):
        yield name, list(_ROW.unpack_from(raw, _HEADER + length + index * _ROW.size))


def in_flight(directory: Path, pid: int) -> list[str]:
    """The models that worker `pid` was calling when it last wrote: the suspects, where it has
    crashed.
    """
    try:
        return [name for name, row in _rows(directory / f"{pid}.counters") if row[0] > 0]
    except FileNotFoundError:
        return []


def totals(directory: Path) -> dict[str, Totals]:
    """The counters of all workers, living and ended, by model."""
    with _retired(directory) as retired:
        found = {name: _from_json(row) for name, row in _load(retired).items()}
        for path in sorted(directory.glob("*.counters")):
            try:
                for name, row in _rows(path):
                    found.setdefault(name, Totals()).add(row, alive=_runs(path))
            except FileNotFoundError:
                continue
    return found


def retire(directory: Path, pid: int | None = None) -> None:
    """Fold the files of all workers that no longer run into `retired.json`, that of `pid` in any
    case.

    Where the disk is full they stay as they are, until the next time.
    """
    try:
        _retire(directory, pid)
    except OSError as error:
        log.error("the counters of ended workers cannot be folded: %s", error.strerror)


def _retire(directory: Path, pid: int | None) -> None:
    with _retired(directory) as retired:
        kept = _load(retired)
        paths = [
            path
            for path in directory.glob("*.counters")
            if path.stem == str(pid) or not _runs(path)
        ]
        for path in paths:
            for name, row in _rows(path):
                total = _from_json(kept.get(name, [0.0] * WIDTH))
                total.add(row, alive=False)
                kept[name] = _to_json(total)
        # A crash between these two steps counts one worker twice: rather that than losing it.
        content = orjson.dumps(kept)
        os.posix_fallocate(
            retired.fileno(), 0, max(1, len(content))
        )  # raises before anything is lost
        retired.seek(0)
        retired.write(content)
        retired.truncate()
        retired.flush()
        for path in paths:
            path.unlink(missing_ok=True)


def _runs(path: Path) -> bool:
    # One that nobody has reaped counts too: its master reads its file before it is folded.
    return Path("/proc", path.stem).exists()


def _to_json(total: Totals) -> list[float]:
    return [
        0.0,
        *(total.reasons.get(reason, 0.0) for reason in REASONS),
        total.seconds,
        *total.buckets,
        *total.batches,
        total.batched,
    ]


def _from_json(row: list[float]) -> Totals:
    total = Totals()
    total.add(row, alive=False)
    return total


def _load(file: IO[bytes]) -> dict[str, list[float]]:
    try:
        loaded: dict[str, list[float]] = orjson.loads(file.read() or b"{}")
    except (
        orjson.JSONDecodeError
    ):  # the process that wrote it was killed in the middle: its history is gone, not ours
        return {}
    return {name: row for name, row in loaded.items() if len(row) == WIDTH}


@contextmanager
def _retired(directory: Path) -> Iterator[IO[bytes]]:
    directory.mkdir(parents=True, exist_ok=True)
    with os.fdopen(
        os.open(directory / "retired.json", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+b"
    ) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file
