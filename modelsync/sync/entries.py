"""Judges the models of a new release: which are broken, and whether any differs from before."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from modelsync.errors import ProbationFailed, ReleaseRejected
from modelsync.models.types import Fault, ModelEntry, ModelName, ModelSpec, TreeHash
from modelsync.observability.logs import event
from modelsync.releases.store import Release
from modelsync.settings import Revision

_log = logging.getLogger("modelsync.sync.update")


def with_problems(
    root: Path, specs: Sequence[ModelSpec], problems: Mapping[str, tuple[Fault, ...]]
) -> list[ModelSpec]:
    """Return the models, with the problem that the export found in a folder as its fault.

    An unsafe thing in the place of a folder (a link, a submodule, a name that is no text) becomes a
    model that is refused, so that the list of models names it.
    """
    found = [
        replace(spec, fault=problems[spec.name][0]) if problems.get(spec.name) else spec
        for spec in specs
    ]
    others = sorted(problems.keys() - {spec.name for spec in specs})
    return found + [
        ModelSpec(
            ModelName(name),
            root / name,
            TreeHash(""),
            fault=replace(problems[name][0], stage="name"),
        )
        for name in others
        if problems[name]
    ]


def reject_broken(entries: Sequence[ModelEntry]) -> None:
    """Raise ReleaseRejected where any model is broken."""
    if broken := [f"{entry.name}: {entry.fault}" for entry in entries if entry.fault]:
        raise ReleaseRejected("; ".join(broken))


def reject_newly_broken(entries: Sequence[ModelEntry], revision: Revision) -> None:
    """Raise ProbationFailed where a model is broken that was good when `modelsync rollout` checked
    the commit.

    Then the pod stays unready, and the earlier pods, in which the model may be good, go on.
    """
    if broken := [
        f"{entry.name}: {entry.fault}"
        for entry in entries
        if entry.fault and entry.name not in revision.broken
    ]:
        raise ProbationFailed(f"good when the rollout checked it, broken here: {'; '.join(broken)}")


def is_unchanged(entries: Sequence[ModelEntry], current: Release) -> bool:
    """Tell whether these models would serve and report the same as the current release."""

    def visible(entry: ModelEntry) -> tuple[object, ...]:
        return entry.name, entry.state, entry.version, entry.wanted_version, entry.fault

    return set(map(visible, entries)) == set(map(visible, current.models.values()))


def report(entries: Sequence[ModelEntry]) -> None:
    """Log each broken model."""
    for entry in entries:
        if entry.fault:
            event(
                _log,
                logging.ERROR,
                f"{entry.name} is broken: {entry.fault}",
                event="model_broken",
                model=entry.name,
                state=entry.state,
                serves=entry.version or None,
                wanted=entry.wanted_version,
                file=entry.fault.file,
                line=entry.fault.line,
            )
