"""What has come of shadow requests, in `home/shadow/record.json`: how many answers were equal, and
the last differences. Written by the process that asks the candidate, read by whoever tells of it.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from modelsync import json_text
from modelsync.files import as_json, write_atomically
from modelsync.models.serialization import from_json, to_json
from modelsync.monitoring.shadow.requests import FOLDER
from modelsync.observability.counters import BUCKETS

FILE = FOLDER / "record.json"

Result = Literal["equal", "different", "failed", "dropped"]

RESULTS: tuple[Result, ...] = get_args(Result)
"""Compared and equal or not; no answer to compare; not asked, because too many waited."""

OF_MODEL, OF_ALL = 10, 200
"""Differences that are kept, the newest ones: of one model, of all."""


@dataclass(frozen=True, slots=True)
class ShadowDifference:
    """A prediction that the candidate has answered differently, without what is masked.

    `time`: ISO 8601, UTC. `request`, `answer` and `candidate_answer` are JSON, null if they are
    large. `candidate_release` and `candidate_version` are the candidate's commit and model version.
    """

    time: str
    request_id: str
    what: str
    status: int
    candidate_status: int
    candidate_release: str
    candidate_version: str
    request: Any = None
    answer: Any = None
    candidate_answer: Any = None


@dataclass(slots=True)
class ModelShadow:
    """The copies of one model's predictions.

    `seconds` that the candidate took for its answers, in all, and their `buckets`, as in
    `counters.BUCKETS`, not cumulated. `failure`: why the last one failed. `differences`: the oldest
    one first.
    """

    results: dict[str, int] = field(default_factory=lambda: dict.fromkeys(RESULTS, 0))
    seconds: float = 0.0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    failure: str = ""
    differences: tuple[ShadowDifference, ...] = ()


@dataclass(slots=True)
class ShadowFigures:
    """What was found of the candidate at a URL, `since` a time (ISO 8601, UTC), by model."""

    candidate: str = ""
    since: str = ""
    models: dict[str, ModelShadow] = field(default_factory=dict)


class ShadowRecord:
    """The figures of a candidate, which several threads add to; another candidate begins anew."""

    def __init__(self, home: Path, candidate: str) -> None:
        self._file = home / FILE
        found = read(home)
        self._figures = found if found.candidate == candidate else ShadowFigures(candidate, now())
        self._lock = threading.Lock()
        self._changed = False

    def count(self, model: str, result: Result, number: int = 1, why: str = "") -> None:
        """Count predictions that have no answer of the candidate, for a reason."""
        with self._lock:
            found = self._add(model, result, number)
            found.failure = why or found.failure

    def compared(
        self, model: str, result: Result, seconds: float, difference: ShadowDifference | None
    ) -> None:
        """Count an answer of the candidate; it took so long."""
        with self._lock:
            found = self._add(model, result)
            found.seconds += seconds
            found.buckets[bisect_left(BUCKETS, seconds)] += 1
            if difference:
                found.differences = (*found.differences, difference)[-OF_MODEL:]
                self._forget_oldest()

    def write(self) -> None:
        """Write the figures, if they have changed. Raises OSError."""
        with self._lock:
            if not self._changed:
                return
            self._changed = False
            content = as_json(to_json(self._figures))
        write_atomically(self._file, content)

    def _add(self, model: str, result: Result, number: int = 1) -> ModelShadow:
        found = self._figures.models.setdefault(model, ModelShadow())
        found.results[result] += number
        self._changed = True
        return found

    def _forget_oldest(self) -> None:
        """Forget the oldest difference of the model that has most, if all have too many."""
        models = self._figures.models.values()
        if sum(len(one.differences) for one in models) > OF_ALL:
            most = max(models, key=lambda one: len(one.differences))
            most.differences = most.differences[1:]


def read(home: Path) -> ShadowFigures:
    """Return the figures; a missing or damaged file has none. The caller does not change them."""
    file = home / FILE
    with suppress(OSError):
        found = file.stat()
        return _parsed(file, found.st_mtime_ns, found.st_ino)
    return ShadowFigures()


@lru_cache(maxsize=4)
def _parsed(file: Path, *_: int) -> ShadowFigures:
    with suppress(OSError, LookupError, ValueError, TypeError, AttributeError):
        found: Mapping[str, Any] = json_text.loads(file.read_bytes())
        models = {name: _model(values) for name, values in found["models"].items()}
        return ShadowFigures(str(found["candidate"]), str(found["since"]), models)
    return ShadowFigures()


def _model(values: Mapping[str, Any]) -> ModelShadow:
    """Read a model; one of another version's layout has no figures. Raises TypeError."""
    found = from_json(ModelShadow, values)
    whole = set(found.results) == set(RESULTS) and len(found.buckets) == len(BUCKETS) + 1
    return found if whole else ModelShadow()


def now() -> str:
    """Return the time, as figures have it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
