"""The counters of all workers, living and ended, added up.

When a worker has ended, its file is folded into `retired.json`. The requests in flight in that file
were lost, because a worker that ends in order sets them to zero.

Files of earlier versions, which counted requests by status code (layout 0) or no fallbacks (layout
2), are read as well.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

from modelsync import errors, locks
from modelsync.observability.counters import (
    BATCH_SIZES,
    BATCHED,
    BUCKETS,
    COLUMN,
    FALLBACKS,
    FIRST_BATCH,
    FIRST_BUCKET,
    HEADER,
    LAYOUT,
    LOST,
    OK,
    OTHER,
    ROW,
    SUM,
)

log = logging.getLogger(__name__)

_STATUS_COLUMNS = (
    OK,  # 200
    errors.MalformedBody.reason,  # 400
    errors.Unauthenticated.reason,  # 401
    errors.Forbidden.reason,  # 403
    errors.UnknownModel.reason,  # 404
    OTHER,  # 405
    errors.BodyTooLarge.reason,  # 413
    errors.UnsupportedBody.reason,  # 415
    errors.VariablesInvalid.reason,  # 422
    errors.ModelRaised.reason,  # 500
    errors.ModelUnavailable.reason,  # 503
    errors.DeadlineExceeded.reason,  # 504
    OTHER,  # any other status
    LOST,
)
"""The columns of layout 0 behind the first, each as a reason that has the same status."""

_STATUS_ROW = struct.Struct(f"{1 + len(_STATUS_COLUMNS) + FALLBACKS - SUM}d")

_WITHOUT_FALLBACKS = 2
"""The layout whose rows end before that column."""

_ROWS = {0: _STATUS_ROW, _WITHOUT_FALLBACKS: struct.Struct(f"{FALLBACKS}d"), LAYOUT: ROW}


@dataclass(slots=True)
class Totals:
    """The totals of one model.

    `reasons`: requests by one of `REASONS`; `buckets`: requests by duration, not cumulated;
    `batches`: calls with several requests by `BATCH_SIZES`; `batched`: the requests in them;
    `fallbacks`: rows that the estimator has answered in the place of its compiled form.
    """

    in_flight: float = 0.0
    reasons: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    buckets: list[float] = field(default_factory=lambda: [0.0] * (len(BUCKETS) + 1))
    batches: list[float] = field(default_factory=lambda: [0.0] * (len(BATCH_SIZES) + 1))
    batched: float = 0.0
    fallbacks: float = 0.0

    def add(self, row: Sequence[float], *, alive: bool) -> None:
        """Add a worker's row; the requests in flight of a worker that has ended are lost."""
        if alive:
            self.in_flight += row[0]
        elif row[0] > 0:
            self.reasons[LOST] = self.reasons.get(LOST, 0.0) + row[0]
        for reason, index in COLUMN.items():
            if row[index]:
                self.reasons[reason] = self.reasons.get(reason, 0.0) + row[index]
        self.seconds += row[SUM]
        self.buckets = [
            old + new for old, new in zip(self.buckets, row[FIRST_BUCKET:FIRST_BATCH], strict=True)
        ]
        self.batches = [
            old + new for old, new in zip(self.batches, row[FIRST_BATCH:BATCHED], strict=True)
        ]
        self.batched += row[BATCHED]
        self.fallbacks += row[FALLBACKS]


def _rows(path: Path) -> Iterator[tuple[str, list[float]]]:
    """Yield the name and the counters of each model in a file of a worker."""
    raw = path.read_bytes()
    if len(raw) < HEADER.size:
        return
    length, layout = HEADER.unpack_from(raw)
    if not 0 < length <= len(raw) - HEADER.size:  # its worker has not written the header yet
        return
    rows = HEADER.size + length
    names = orjson.loads(raw[HEADER.size : rows])
    row = _ROWS.get(layout)
    if row is None or len(raw) < rows + len(names) * row.size:  # another version's layout
        return
    for index, name in enumerate(names):
        cells = list(row.unpack_from(raw, rows + index * row.size))
        if layout == _WITHOUT_FALLBACKS:
            cells.append(0.0)
        yield name, cells if layout else _by_reason(cells)


def _by_reason(row: Sequence[float]) -> list[float]:
    """Return a row of layout 0, which counts by status code, as one of this layout."""
    end = 1 + len(_STATUS_COLUMNS)
    found = [row[0], *[0.0] * (SUM - 1), *row[end:], 0.0]
    for reason, count in zip(_STATUS_COLUMNS, row[1:end], strict=True):
        found[COLUMN[reason]] += count
    return found


def in_flight(directory: Path, pid: int) -> list[str]:
    """The models that worker `pid` was calling when it last wrote: the suspects of a crash."""
    try:
        return [name for name, row in _rows(directory / f"{pid}.counters") if row[0] > 0]
    except FileNotFoundError:
        return []


def read(directory: Path) -> dict[str, Totals]:
    """The counters of all workers, living and ended, by model."""
    with _retired(directory) as retired:
        found = _load(retired)
        for path in sorted(directory.glob("*.counters")):
            try:
                for name, row in _rows(path):
                    found.setdefault(name, Totals()).add(row, alive=_runs(path))
            except FileNotFoundError:
                continue
    return found


def retire(directory: Path, pid: int | None = None) -> None:
    """Fold the files of ended workers into `retired.json`, that of `pid` in any case.

    On a full disk they stay as they are until the next time.
    """
    try:
        _retire(directory, pid)
    except OSError as error:
        log.error("the counters of ended workers cannot be folded: %s", error.strerror)


def _retire(directory: Path, pid: int | None) -> None:
    """Fold the files, then remove them. Raises OSError on a full disk; then nothing is lost."""
    with _retired(directory) as retired:
        kept = _load(retired)
        paths = [
            path
            for path in directory.glob("*.counters")
            if path.stem == str(pid) or not _runs(path)
        ]
        for path in paths:
            for name, row in _rows(path):
                kept.setdefault(name, Totals()).add(row, alive=False)
        # A crash before the files are removed counts a worker twice, which is better than not.
        content = orjson.dumps({name: _to_json(total) for name, total in kept.items()})
        # Raises on a full disk, before anything is lost.
        os.posix_fallocate(retired.fileno(), 0, max(1, len(content)))
        retired.seek(0)
        retired.write(content)
        retired.truncate()
        retired.flush()
        for path in paths:
            path.unlink(missing_ok=True)


def _runs(path: Path) -> bool:
    # A zombie runs, too: its master reads its file before the file is folded.
    return Path("/proc", path.stem).exists()


def _to_json(total: Totals) -> dict[str, object]:
    values = asdict(total)
    del values["in_flight"]  # of workers that live
    return values


def _from_json(value: Any) -> Totals:
    """Read the totals of one model. Raises TypeError or ValueError for those of another version."""
    if isinstance(value, list):  # a row of layout 0
        if 8 * len(value) != _STATUS_ROW.size:
            raise ValueError("another version's row")
        total = Totals()
        total.add(_by_reason(value), alive=False)
        return total
    total = Totals(**value)
    if len(total.buckets) != len(BUCKETS) + 1 or len(total.batches) != len(BATCH_SIZES) + 1:
        raise ValueError("another version's histogram")
    return total


def _load(file: IO[bytes]) -> dict[str, Totals]:
    found: dict[str, Totals] = {}
    try:
        loaded = orjson.loads(file.read() or b"{}")
    except orjson.JSONDecodeError:  # its writer was killed in the middle: that history is lost
        return found
    for name, value in loaded.items():
        with suppress(TypeError, ValueError):  # another version's: that history is lost, too
            found[name] = _from_json(value)
    return found


@contextmanager
def _retired(directory: Path) -> Iterator[IO[bytes]]:
    directory.mkdir(parents=True, exist_ok=True)
    with os.fdopen(
        os.open(directory / "retired.json", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+b"
    ) as file:
        locks.lock(file)
        yield file
