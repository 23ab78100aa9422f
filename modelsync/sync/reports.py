"""Reports: what an update has found out about models, as records of its log."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from modelsync.models.model_warnings import PassedOver
from modelsync.models.placement import PLACES
from modelsync.models.types import CheckResult, ModelEntry
from modelsync.observability.logs import event
from modelsync.releases.store import Release

_log = logging.getLogger("modelsync.sync.update")


def places(results: Sequence[CheckResult]) -> None:
    """Log each model that does not run as most do, with the reason."""
    for result in results:
        placement = result.placement
        if result.ok and placement.place != "worker":
            event(
                _log,
                logging.INFO,
                f"{result.name} runs in {PLACES[placement.place]}: {placement.reason}",
                event="model_placed",
                model=result.name,
                place=placement.place,
                reason=placement.reason,
            )


def warnings(results: Sequence[CheckResult]) -> None:
    """Log what may be wrong with models that serve all the same."""
    for result in results:
        for warning in result.warnings:
            event(
                _log,
                logging.WARNING,
                f"{result.name}: {warning}",
                event="model_warning",
                model=result.name,
                kind=warning.kind,
                file=warning.file,
                line=warning.line,
            )


def passed_over(found: Sequence[PassedOver], current: Release | None) -> None:
    """Log what looks like a model and is not taken, once: not what the current release knows."""
    for one in found:
        if current is None or one not in current.passed_over:
            hint = f" ({one.hint})" if one.hint else ""
            message = f"{one.path} is passed over: {one.reason}{hint}"
            event(_log, logging.WARNING, message, event="passed_over", path=one.path)


def compiled(entries: Sequence[ModelEntry]) -> None:
    """Log in one line which models a compiled form answers for, and why not for the others."""
    found = {entry.name: entry.compilation for entry in entries if entry.compilation}
    if not any(one.state != "off" for one in found.values()):
        return
    fast = {name: one.speed for name, one in found.items() if one.state == "compiled"}
    others = {name: str(one) for name, one in found.items() if name not in fast}
    event(
        _log,
        logging.INFO,
        f"compiled: {len(fast)} of {len(found)} estimators",
        event="compiled",
        compiled=fast,
        not_compiled=others,
    )


def broken(entries: Sequence[ModelEntry]) -> None:
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
