"""The catalog: everything that the database knows of jobs, versions and training runs."""

from __future__ import annotations

from modelsync.settings import Settings
from modelsync.store.database import Database
from modelsync.store.job_logs import JobLogs
from modelsync.store.labels import LabelRecords
from modelsync.store.leases import Leases
from modelsync.store.observations import Observations
from modelsync.store.queue import JobQueue
from modelsync.store.run_history import RunHistory
from modelsync.store.runs import JobRuns
from modelsync.store.training_runs import TrainingRuns
from modelsync.store.versions import VersionRecords


class Catalog(
    JobQueue,
    JobRuns,
    JobLogs,
    VersionRecords,
    LabelRecords,
    TrainingRuns,
    RunHistory,
    Leases,
    Observations,
):
    """Jobs from the request to their end, their logs, versions with what names them; training runs,
    leases, and what was observed of live predictions.

    Each method is one transaction, and raises StoreUnavailable if the database does not answer. A
    call whose answer was lost on the way can be repeated.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    @classmethod
    def open(cls, settings: Settings) -> Catalog:
        """Return the catalog of these settings. Raises SettingsError if they are malformed."""
        return cls(Database(settings.store.database_url, settings.state.home))
