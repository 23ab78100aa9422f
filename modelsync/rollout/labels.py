"""The labels that git tags give, where pods are pinned: a rollout's run reads the tags for them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache

from modelsync import store
from modelsync.deadline import Deadline
from modelsync.errors import SettingsError, StoreUnavailable, SyncError
from modelsync.models.types import TreeHash
from modelsync.settings import Settings
from modelsync.sync.labels import parse
from modelsync.sync.sources import GitSource
from modelsync.training import labels

log = logging.getLogger(__name__)


def apply_tags(settings: Settings, source: GitSource, deadline: Deadline) -> None:
    """Give the versions in the database the labels of the repository's tags.

    Without a database there are none. A failure is logged, and the next run tries again: no commit
    waits for a label.
    """
    if not settings.store.database_url:
        return

    @cache
    def versions(commit: str) -> Mapping[str, TreeHash]:
        try:
            return source.versions(commit, deadline)
        except SyncError as error:
            log.info("the commit %s of a tag cannot be fetched: %s", commit[:12], error)
            return {}

    try:
        wanted = parse(source.tags(deadline) or {}, source.view)
        catalog = store.open(settings).catalog
        models = catalog.models()
        labels.apply(catalog, models, wanted, lambda model, commit: versions(commit).get(model, ""))
    except (SettingsError, StoreUnavailable, SyncError) as error:
        log.warning("git tags did not become labels: %s", error)
