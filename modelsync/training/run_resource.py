"""A training run as clients see it, over HTTP and from the command."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from modelsync.store.records import TrainingRun


def resource(run: TrainingRun, model_url: str = "", *, full: bool = True) -> dict[str, Any]:
    """The body of a run's resource; if it is not `full`, the report of its check is cut down to
    how many rules were broken.

    `model_url`: the path of the model, before those of the run, its job and its version.
    """
    return {
        "number": run.number,
        "model": run.model,
        "date": run.date.isoformat(),
        "trigger": run.trigger,
        "state": run.state,
        "step": run.step,
        "outcome": run.outcome or None,
        "done": run.state in ("done", "failed"),
        "created": _moment(run.created),
        "started": _moment(run.started),
        "ended": _moment(run.ended),
        "attempts": run.attempts,
        "source": run.source or None,
        "filled": run.filled,
        "fingerprint": run.fingerprint or None,
        "code": run.code or None,
        "violations": len(run.report.get("violations", ())) if run.report else None,
        "changes": run.report.get("changes", []) if run.report else [],
        **({"columns": run.columns, "report": run.report} if full else {}),
        "job": run.job or None,
        "version": run.version,
        "comparison": run.comparison,
        "error": run.error,
        "message": message(run),
        **_urls(run, model_url),
    }


def message(run: TrainingRun) -> str:
    """What has become of a run, in words: why it has failed, which version serves since."""
    if run.state == "failed":
        return str((run.error or {}).get("message", "")) or f"it has failed at its {run.step}"
    if run.state == "waiting":
        return f"it waits for its {run.step}" if run.attempts else "it is going to begin"
    if run.state == "running":
        return f"it is at its {run.step}"
    version = f"version {run.version}" if run.version else "no version"
    if run.outcome == "promoted":
        return f"{version} serves"
    if run.outcome == "kept":
        why = _verdict(run.comparison)
        return f"{version} does not serve{f': {why}' if why else ''}"
    return "the same data were trained with before"


def _verdict(comparison: Mapping[str, Any] | None) -> str:
    return str((comparison or {}).get("verdict") or "")


def _urls(run: TrainingRun, model_url: str) -> dict[str, str | None]:
    if not model_url:
        return {}
    return {
        "url": f"{model_url}/runs/{run.number}",
        "job_url": f"{model_url}/jobs/{run.job}" if run.job else None,
        "version_url": f"{model_url}/versions/{run.version}" if run.version else None,
    }


def _moment(time: datetime | None) -> str | None:
    return time.isoformat() if time else None
