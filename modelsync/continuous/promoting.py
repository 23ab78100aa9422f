"""The steps `compare` and `promote`: is the new version better, and who serves then."""

from __future__ import annotations

from typing import Any

from modelsync.continuous.context import RunContext, StepReport
from modelsync.continuous.failures import StepFailed
from modelsync.continuous.training import shown
from modelsync.errors import UnknownVersion
from modelsync.store.records import Version


def compare(run: RunContext) -> StepReport:
    """Note how the new version compares with the one that served when it was made."""
    version = _version(run)
    found: dict[str, Any] = dict(version.made.comparison or {})
    if not found:
        raise StepFailed("NoComparison", f"version {version.number} was not compared by its job")
    run.record.note(comparison=found)
    return StepReport(_said(version, found), found)


def promote(run: RunContext) -> StepReport:
    """Have the new version serve, unless the comparison is against it, or a newer one serves."""
    comparison = run.record.row.comparison
    version = _version(run)
    if comparison is None:
        raise StepFailed("NoComparison", f"version {version.number} was not compared yet")
    verdict = str(comparison.get("verdict") or "")
    catalog = run.store.catalog
    settled = run.record.insist(lambda: catalog.settle(version.model, version.number, verdict))
    if not settled.verdict:
        return StepReport(f"version {version.number} serves", {"version": version.number})
    current = run.record.insist(lambda: catalog.model(version.model)).current
    serving = f"version {current} goes on" if current else "no version serves"
    said = f"{serving}, version {version.number} waits: {settled.verdict}"
    return StepReport(said, {"version": version.number, "verdict": settled.verdict})


def _version(run: RunContext) -> Version:
    row = run.record.row
    if row.version is None:
        raise StepFailed("NotTrained", "no version was trained yet: the step train comes before")
    try:
        return run.record.insist(lambda: run.store.catalog.version(row.model, f"v{row.version}"))
    except UnknownVersion as error:
        raise StepFailed("UnknownVersion", f"{error}: it was deleted meanwhile") from None


def _said(version: Version, found: dict[str, Any]) -> str:
    """Return a comparison in one line."""
    old, number, metric = found.get("old"), found.get("version"), found.get("metric")
    new = found.get("new") or {}
    rows = f" on {found['rows']:,} held-out rows" if found.get("rows") else ""
    if number is None:
        return f"version {version.number} is the first: {_listed(new, metric)}{rows}"
    if found.get("reason"):
        return f"{found['reason']}: the new version counts as better"
    if not new and not old:
        return f"no metric tells it from version {number}: the newer one counts as better"
    said = f"{_listed(new, metric)}{rows}; version {number}: {_listed(old or {}, metric)}"
    verdict = found.get("verdict")
    return f"{said}: {'kept back, ' + verdict if verdict else 'better or as good'}"


def _listed(metrics: dict[str, Any], name: str | None) -> str:
    if name and name in metrics:
        return f"{name} {shown(metrics[name])}"
    return ", ".join(f"{one} {shown(value)}" for one, value in list(metrics.items())[:4]) or "-"
