"""What the index page shows of trained models: which version predicts, and the jobs that go on."""

from __future__ import annotations

from typing import Any

from modelsync.api.jobs import described
from modelsync.api.trained import TrainedModels
from modelsync.errors import StoreUnavailable
from modelsync.releases.fitted import ModelVersions
from modelsync.training.run_resource import resource

LIVE = 100
"""Jobs that are shown at most."""


def training(trained: TrainedModels) -> dict[str, dict[str, Any]]:
    """For each trained model: number and key of the current version, how many there are, the newest
    training run, the jobs that wait or run.

    While the store is away it holds what this machine knows.
    """
    names = [name for name, entry in trained.service.entries.items() if entry.spec.trainable]
    if not names:
        return {}
    known = trained.fitted.read()
    found = {str(name): _versions(known.get(name, ModelVersions())) for name in names}
    try:
        for name, run in trained.store().catalog.newest_runs().items():
            if name in found:
                found[name]["last_run"] = resource(run, trained.url(name), full=False)
        for job in trained.store().catalog.jobs(limit=LIVE, live=True):
            if job.model in found:
                found[job.model]["jobs"].append(described(trained, job))
    except StoreUnavailable as error:
        for one in found.values():
            one["store"] = str(error)
    return found


def _versions(known: ModelVersions) -> dict[str, Any]:
    serving = known.serving
    return {
        "current": serving.number if serving else None,
        "key": serving.key if serving else None,
        "versions": len(known.versions),
        "jobs": [],
        "last_run": None,
        "store": None,
    }
