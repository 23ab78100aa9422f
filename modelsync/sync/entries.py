"""What a new release has for each folder: what is wrong with it, and whether that differs from what
serves.
"""

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
    root: Path, folders: Sequence[ModelSpec], problems: Mapping[str, tuple[Fault, ...]]
) -> list[ModelSpec]:
    """The folders, where the export found something unsafe in one with that as its fault.

    What is unsafe and no folder (a link or a submodule in a folder's place, a name that is no text)
    becomes a model that is refused, so that it is named where people look.
    """
    found = [
        replace(one, fault=problems[one.name][0]) if problems.get(one.name) else one
        for one in folders
    ]
    strangers = sorted(problems.keys() - {one.name for one in folders})
    return found + [
        ModelSpec(
            ModelName(name),
            root / name,
            TreeHash(""),
            fault=replace(problems[name][0], stage="name"),
        )
        for name in strangers
        if problems[name]
    ]


def reject_broken(entries: Sequence[ModelEntry]) -> None:
    """Raise ReleaseRejected where any is broken."""
    if broken := [f"{entry.name}: {entry.fault}" for entry in entries if entry.fault]:
        raise ReleaseRejected("; ".join(broken))


def as_checked(entries: Sequence[ModelEntry], revision: Revision) -> None:
    """Raise ProbationFailed where more is broken here than was when `modelsync rollout` checked the
    commit.

    The pod stays unready then, and the pods before it, where the model may be good, go on.
    """
    if broken := [
        f"{entry.name}: {entry.fault}"
        for entry in entries
        if entry.fault and entry.name not in revision.broken
    ]:
        raise ProbationFailed(f"good when the rollout checked it, broken here: {'; '.join(broken)}")


def same(entries: Sequence[ModelEntry], current: Release) -> bool:
    """Whether these entries would serve and say just what the current release does."""

    def told(entry: ModelEntry) -> tuple[object, ...]:
        return entry.name, entry.state, entry.version, entry.wanted_version, entry.fault

    return {told(entry) for entry in entries} == {told(entry) for entry in current.models.values()}


def report(entries: Sequence[ModelEntry]) -> None:
    """Log each that is broken."""
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
