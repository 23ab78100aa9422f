"""A job as clients see it: a long-running operation (https://google.aip.dev/151)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from modelsync.store.records import Job, JobState, Version

MESSAGES: dict[JobState, str] = {
    "queued": "RUNNING",
    "running": "RUNNING",
    "done": "DONE",
    "failed": "FAILED",
    "lost": "FAILED",
    "cancelled": "CANCELLED",
}
"""The states as *ml-server* called them."""

ENDINGS: dict[JobState, tuple[str, str]] = {
    "cancelled": ("Cancelled", "the job was cancelled"),
    "lost": ("Lost", "the process of the job was killed, or its machine is gone"),
    "failed": ("Failed", "the job failed; its log says why"),
}
"""Kind and message of the error of a job that has left none."""


def operation(job: Job, version: Version | None = None, url: str = "") -> dict[str, Any]:
    """The body of a job's resource: `name`, `done`, `metadata`, and `response` or `error`.

    `version`: what it has made, if it is done. `url`: the path of the job.
    """
    asked = job.asked
    body: dict[str, Any] = {
        "name": url or f"{job.model}/jobs/{job.id}",
        "done": job.final,
        "metadata": {
            "state": "cancelling" if job.cancelling and not job.final else job.state,
            "kind": asked.kind,
            "model": job.model,
            "key": asked.key,
            "version": job.number,
            "parent": asked.parent,
            "params": asked.params,
            "source": asked.source or None,
            "progress": 1.0 if job.state == "done" else job.progress,
            "rows": job.rows,
            "message": job.message or None,
            "created": _moment(job.created),
            "started": _moment(job.started),
            "ended": _moment(job.ended),
            "attempts": job.attempts,
            "log": f"{url}/log" if url else None,
        },
    }
    if job.state == "done":
        body["response"] = _made(job, version)
    elif job.final:
        body["error"] = _error(job)
    return body


def _made(job: Job, version: Version | None) -> dict[str, Any]:
    """What a job has made; only what its row says if the version is deleted since."""
    response: dict[str, Any] = {
        "key": job.asked.key,
        "version": job.number,
        "verdict": job.verdict or None,
    }
    if version is None:
        return response
    made = version.made
    return {
        **response,
        "metrics": made.metrics,
        "comparison": made.comparison,
        "rows": made.rows,
        "serializer": made.serializer,
        "size": made.size,
        "sha256": made.sha256,
    }


def _error(job: Job) -> dict[str, Any]:
    kind, message = ENDINGS.get(job.state, ENDINGS["failed"])
    return {"stage": "", "kind": kind, "message": message, **(job.error or {})}


def _moment(time: datetime | None) -> str | None:
    return time.isoformat() if time else None
