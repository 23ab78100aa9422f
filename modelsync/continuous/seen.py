"""Whether the data of a model have changed since it was trained with them: asked at every poll, so
that it is cheap. What was seen last is a file of the state directory; without it the data are read.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING

from modelsync.continuous import checking
from modelsync.continuous.context import RunContext
from modelsync.errors import ModelsyncError, StoreUnavailable
from modelsync.files import write_atomically
from modelsync.models.types import ModelSpec
from modelsync.settings import Settings
from modelsync.store.catalog import Catalog
from modelsync.store.records import TrainingRun
from modelsync.training import plan

if TYPE_CHECKING:
    from modelsync.data.sources import DataSource

log = logging.getLogger(__name__)

PASSING = ("Lost", StoreUnavailable.__name__)
"""Kinds of failures that the data have not caused."""


class SeenData:
    """What was seen of the data of one model: `incoming`, the fingerprint of what a day has
    brought, `source`, that of the source, and `rows`, the digest of its rows then.
    """

    def __init__(self, config: Settings, model: str) -> None:
        self._file = config.state.home / "run" / "data" / f"{model}.json"

    def read(self) -> dict[str, str]:
        """Return what was noted; nothing without a file that can be read."""
        try:
            found: dict[str, str] = json.loads(self._file.read_bytes())
        except (OSError, ValueError):
            return {}
        return found

    def note(self, **values: str) -> None:
        """Note some of it; a disk that is full only costs the next poll some time."""
        with suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._file, json.dumps({**self.read(), **values}).encode())


def note(run: RunContext, step: str) -> None:
    """Note what a step of a run has worked with: `fill` and `check` look at the data."""
    seen, row = SeenData(run.config, run.spec.name), run.record.row
    with suppress(ModelsyncError):
        if step == "fill":
            seen.note(incoming=_incoming(run.spec, run.config, run.day))
        elif step == "check" and run.record.checked and row.fingerprint:
            seen.note(source=run.record.checked, rows=row.fingerprint)


def is_unchanged(spec: ModelSpec, config: Settings, day: date, catalog: Catalog) -> bool:
    """Whether a run would bring nothing new: it would train with the data of the last one, or fail
    as that did. Raises StoreUnavailable.
    """
    newest = next(iter(catalog.runs(spec.name, limit=1)), None)
    if newest is None:
        return False
    if not plan.sources_of(spec):
        return True  # nobody knows what train() fetches
    refused = _is_refused(newest, spec)
    try:
        seen = SeenData(config, spec.name).read()
        if _incoming(spec, config, day) not in ("", seen.get("incoming")):
            return False
        if refused and newest.step == "fill":
            return True
        source = checking.source_of(spec, config, day)
        now = _rows_of(source, seen)
    except StoreUnavailable:
        raise
    except ModelsyncError:  # a run would say why
        return refused
    if refused and newest.fingerprint == now:
        return True
    good = catalog.last_good(spec.name)
    return good is not None and bool(checking.trained_before(good, spec.version, catalog, now))


def _is_refused(run: TrainingRun, spec: ModelSpec) -> bool:
    """Whether a run has failed by its data or code, so that it would do so again."""
    kind = (run.error or {}).get("kind")
    return run.state == "failed" and run.code == spec.version and kind not in PASSING


def _incoming(spec: ModelSpec, config: Settings, day: date) -> str:
    """Return the day and the fingerprint of what it brings; empty if nothing is there, or if only
    the class's `fill` knows.
    """
    from modelsync.data import sources

    text = sources.dated(spec.plan.incoming, day)
    if not text or "fill" in spec.methods:
        return ""
    if not sources.is_there(text, folder=spec.path, settings=config):
        return ""
    source = sources.examine(text, (), folder=spec.path, settings=config, schema=spec.schema)
    return f"{day.isoformat()} {source.fingerprint()}"


def _rows_of(source: DataSource, seen: dict[str, str]) -> str:
    """Return the digest of the rows of a source, as a run notes it."""
    now = source.fingerprint()
    if source.tells_rows:
        return now
    if seen.get("source") == now:
        return seen.get("rows", "")
    from modelsync.data import checking as data_checking

    return data_checking.check(source, None).fingerprint
