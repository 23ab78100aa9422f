"""The store of trained models: jobs, versions, labels in a database, artefacts there or on S3."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # only processes that use the store load SQLAlchemy
    from modelsync.settings import Settings
    from modelsync.store.blobs import Blobs
    from modelsync.store.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Store:
    """The catalog of jobs and versions, and the blobs that its rows name."""

    catalog: Catalog
    blobs: Blobs


def open(settings: Settings) -> Store:
    """Return the store of these settings. Nothing is connected yet: that is done at each use, so
    that a store which is away at the start is found later.

    Raises SettingsError if a setting of the store is malformed.
    """
    from modelsync.store.blobs import open_blobs
    from modelsync.store.catalog import Catalog

    catalog = Catalog.open(settings)
    return Store(catalog, open_blobs(settings, catalog.database))
