"""Labels that git tags give: the tags that a sync has read, applied to the versions in the catalog.

A tag names a commit. Its label goes to the newest version that was trained from that commit, else
to the newest one of the same code: of two commits between which the model's folder did not change,
it does not matter which one is tagged. Without such a version the label waits for one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from modelsync.store.records import ModelRecord, Version
from modelsync.sync import labels
from modelsync.sync.labels import Labels, LabelTarget

if TYPE_CHECKING:
    from modelsync.store.catalog import Catalog

ORIGIN = "git"
"""The origin of these labels: others are never moved or removed by a tag."""


class GitLabels:
    """Applies what syncs of this state directory have read.

    Replicas do not read at the same moment, so one that has not seen a tag move must not move its
    label back: nothing is done until the own sync has read something new, or there are versions
    that were not there before.
    """

    def __init__(self, catalog: Catalog, home: Path) -> None:
        self._catalog = catalog
        self._home = home
        self._applied: tuple[Labels, Mapping[str, frozenset[int]]] | None = None
        self._revision: int | None = None

    def step(self, now: float) -> None:
        """Apply them, if something has changed. Raises StoreUnavailable."""
        wanted = labels.read(self._home)
        if wanted is None:
            return
        revision = self._catalog.revision()
        if self._applied and self._applied[0] == wanted and revision == self._revision:
            return
        self._revision = revision
        models = self._catalog.models()
        seen = (wanted, {name: _numbers(record) for name, record in models.items()})
        if seen != self._applied:
            apply(self._catalog, models, wanted)
            self._applied = seen


def apply(
    catalog: Catalog,
    models: Mapping[str, ModelRecord],
    wanted: Labels,
    code: Callable[[str, str], str] = lambda model, commit: "",
) -> None:
    """Make the labels of git tags those `wanted`, in all models of the catalog.

    `code` gives the tree hash of a model's folder in a commit, for a target that does not have it;
    empty if it cannot. Raises StoreUnavailable.
    """
    for name, record in models.items():
        found = {
            label: version.number
            for label, target in wanted.get(name, {}).items()
            if (version := _newest(record, target, code))
        }
        catalog.replace_labels(name, found, origin=ORIGIN)


def _newest(
    record: ModelRecord, target: LabelTarget, code: Callable[[str, str], str]
) -> Version | None:
    versions = sorted(record.versions, key=lambda version: version.number, reverse=True)
    for version in versions:
        if version.commit == target.commit:
            return version
    same = code(record.model, target.commit) if target.code is None else target.code
    return next((version for version in versions if same and version.code == same), None)


def _numbers(record: ModelRecord) -> frozenset[int]:
    return frozenset(version.number for version in record.versions)
