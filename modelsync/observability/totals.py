"""The counters of all workers, living and ended, added up.

When a worker has ended, its file is folded into `retired.json`. The requests in flight in that file
were lost, because a worker that ends in order sets them to zero.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import orjson

from modelsync import locks
from modelsync.observability.counters import (
    BATCH_SIZES,
    BATCHED,
    BUCKETS,
    COLUMN,
    FIRST_BATCH,
    FIRST_BUCKET,
    HEADER,
    LOST,
    REASONS,
    ROW,
    SUM,
    WIDTH,
)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Totals:
    """The totals of one model.

    `reasons`: requests by one of `REASONS`; `buckets`: requests by duration, not cumulated;
    `batches`: calls with several requests by `BATCH_SIZES`; `batched`: the requests in them.
    """

    in_flight: float = 0.0
    reasons: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    buckets: list[float] = field(default_factory=lambda: [0.0] * (len(BUCKETS) + 1))
    batches: list[float] = field(default_factory=lambda: [0.0] * (len(BATCH_SIZES) + 1))
    batched: float = 0.0

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


def _rows(path: Path) -> Iterator[tuple[str, list[float]]]:
    raw = path.read_bytes()
    length = int.from_bytes(raw[:HEADER], "little")
    if not 0 < length <= len(raw) - HEADER:  # its worker has not written the header yet
        return
    names = orjson.loads(raw[HEADER : HEADER + length])
    if len(raw) < HEADER + length + len(names) * ROW.size:  # another version's layout
        return
    for index, name in enumerate(names):
        yield name, list(ROW.unpack_from(raw, HEADER + length + index * ROW.size))


def in_flight(directory: Path, pid: int) -> list[str]:
    """The models that worker `pid` was calling when it last wrote: the suspects of a crash."""
    try:
        return [name for name, row in _rows(directory / f"{pid}.counters") if row[0] > 0]
    except FileNotFoundError:
        return []


def read(directory: Path) -> dict[str, Totals]:
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
                total = _from_json(kept.get(name, [0.0] * WIDTH))
                total.add(row, alive=False)
                kept[name] = _to_json(total)
        # A crash before the files are removed counts a worker twice, which is better than not.
        content = orjson.dumps(kept)
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
    except orjson.JSONDecodeError:  # its writer was killed in the middle: that history is lost
        return {}
    return {name: row for name, row in loaded.items() if len(row) == WIDTH}


@contextmanager
def _retired(directory: Path) -> Iterator[IO[bytes]]:
    directory.mkdir(parents=True, exist_ok=True)
    with os.fdopen(
        os.open(directory / "retired.json", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644), "r+b"
    ) as file:
        locks.lock(file)
        yield file
