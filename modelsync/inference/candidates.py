"""Which fitted versions of each model are loaded when a process starts: the current one, and in
case that does not load those before it that are on disk.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from modelsync.inference.load_attempts import LoadAttempts
from modelsync.inference.process_runner import HostedModel, RunnerGroup
from modelsync.inference.version_loading import LoadTerms
from modelsync.releases.fitted import FittedVersions
from modelsync.settings import Settings

MAX_CANDIDATES = 3
"""Versions that are tried at most; each may take as long as loading takes."""


def attempts_folder(home: Path) -> Path:
    """Return the folder of what is remembered of attempts to load versions."""
    return home / "run" / "loading"


def terms(settings: Settings, *, max_deaths: int) -> LoadTerms:
    """Return how versions are loaded in this process."""
    attempts = LoadAttempts(attempts_folder(settings.state.home), max_deaths)
    return LoadTerms(settings.training.mismatch, attempts)


def with_versions(models: list[HostedModel], home: Path) -> list[HostedModel]:
    """Return the models with the versions of which the first that loads serves."""
    if not any(model.spec.trainable for model in models):
        return models
    known = FittedVersions(home).read()
    return [
        replace(model, versions=known[model.spec.name].candidates[:MAX_CANDIDATES])
        if model.spec.trainable and model.spec.name in known
        else model
        for model in models
    ]


def group_with_versions(group: RunnerGroup, home: Path) -> RunnerGroup:
    """Return the models of a runner with the versions that they have now."""
    return replace(group, models=with_versions(group.models, home))
