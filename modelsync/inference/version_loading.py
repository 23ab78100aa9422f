"""Loading of fitted versions: the one that should serve, or another in its place."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from modelsync.errors import ModelBroken
from modelsync.inference.load_attempts import LoadAttempts
from modelsync.models.types import ModelSpec
from modelsync.models.versions import FittedVersion, Mismatch

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RefusedVersion:
    """A fitted version that should serve and does not; `reason` is for people."""

    version: FittedVersion
    reason: str


class Loaded(Protocol):
    """What has been loaded; `refused` is the version that should serve in its place."""

    refused: RefusedVersion | None


L = TypeVar("L", bound=Loaded)


@dataclass(frozen=True, slots=True)
class LoadTerms:
    """How fitted versions are loaded: what is done about other libraries than they were made with,
    and what is remembered of those that have ended their process.
    """

    mismatch: Mismatch = "warn"
    attempts: LoadAttempts = field(default_factory=lambda: LoadAttempts(None))


def load_first(
    spec: ModelSpec,
    versions: Sequence[FittedVersion],
    load: Callable[[FittedVersion | None], L],
) -> L:
    """Load the first of some fitted versions that loads, at last the model without any.

    The runner's `refused` is the very first, if that does not load. Raises ModelBroken if the
    model's own code does not.
    """
    refused = None
    for version in versions:
        try:
            runner = load(version)
        except ModelBroken as error:
            if refused is None:
                refused = RefusedVersion(version, str(error))
                log_refused(str(spec.name), refused)
            continue
        runner.refused = refused
        return runner
    runner = load(None)
    runner.refused = refused
    return runner


def log_refused(name: str, refused: RefusedVersion) -> None:
    """Log that a version does not load; another one serves in its place, or none."""
    fields = {"event": "version_refused", "model": name, "version": refused.version.number}
    message = "version %d of %s does not load here: %s"
    log.error(message, refused.version.number, name, refused.reason, extra={"fields": fields})
