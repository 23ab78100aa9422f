"""What monitoring has found of each model that was sampled, in `home/drift.json`: written by the
collector, read by whoever tells of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from modelsync import json_text
from modelsync.files import as_json, write_atomically
from modelsync.models.serialization import from_json, to_json

FILE = "drift.json"


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """How far the samples of a column are from the data of the fit.

    `psi`: the population stability index. `ks`: the statistic of the two-sample Kolmogorov-Smirnov
    test, and its `p_value`; None for categories, which have no order.
    """

    name: str
    psi: float
    ks: float | None = None
    p_value: float | None = None


@dataclass(frozen=True, slots=True)
class ModelDrift:
    """The figures of one model.

    `version`: the fitted version that is current, None without one, and `samples` of its requests
    are compared, the newest ones `since` a time (ISO 8601, UTC). `columns` are what it predicts
    from, `target` what it predicts, whose samples are predictions. `note`: why there are none.
    `total`: samples that were collected in this state directory, of all versions.

    `live_accuracy`: the share of predictions of this version that were right, of the `compared`
    requests whose truth is known; `live_error`, their mean absolute error. `serves_since`: when
    this version was seen first as the current one, seconds since 1970.
    """

    version: int | None = None
    samples: int = 0
    since: str | None = None
    columns: tuple[ColumnDrift, ...] = ()
    target: tuple[ColumnDrift, ...] = ()
    note: str = ""
    total: int = 0
    live_accuracy: float | None = None
    live_error: float | None = None
    compared: int = 0
    serves_since: float = 0.0
    updated: str = ""


def read(home: Path) -> Mapping[str, ModelDrift]:
    """Return the figures by model; a missing or damaged file has none."""
    file = home / FILE
    with suppress(OSError):
        found = file.stat()
        return _parsed(file, found.st_mtime_ns, found.st_ino)
    return {}


@lru_cache(maxsize=4)
def _parsed(file: Path, *_: int) -> Mapping[str, ModelDrift]:
    with suppress(OSError, ValueError, TypeError, AttributeError):
        found = json_text.loads(file.read_bytes())
        return {name: from_json(ModelDrift, values) for name, values in found.items()}
    return {}


def write(home: Path, models: Mapping[str, ModelDrift]) -> None:
    """Replace the figures of all models. Raises OSError."""
    write_atomically(home / FILE, as_json({name: to_json(one) for name, one in models.items()}))
