"""A job as a client gets it: an operation after AIP-151 (https://google.aip.dev/151)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from modelsync.store.records import Job, Version


def operation(job: Job, version: Version | None = None, url: str = "") -> dict[str, Any]:
    """Return the body of a job: `name`, `done`, `metadata`, and at the end `response` or `error`.

    `version` is what it has made; `url` is that of the job, with which its log's begins.
    """
    asked = job.asked
    found: dict[str, Any] = {
        "name": f"{job.model}/jobs/{job.id}",
        "done": job.final,
        "metadata": {
            "model": job.model,
            "kind": asked.kind,
            "state": "cancelling" if job.cancelling and not job.final else job.state,
            "key": asked.key,
            "version": job.number,
            "progress": job.progress,
            "rows": job.rows,
            "message": job.message,
            "created": _time(job.created),
            "started": _time(job.started),
            "ended": _time(job.ended),
            "attempts": job.attempts,
            "log": f"{url}/log" if url else None,
        },
    }
    if job.state == "done":
        found["response"] = {
            "model": job.model,
            "key": asked.key,
            "version": job.number,
            "metrics": dict(version.made.metrics) if version else {},
            "verdict": job.verdict,
        }
    elif job.final:
        found["error"] = dict(job.error or {"message": f"the job is {job.state}"})
    return found


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat(timespec="milliseconds") if moment else None
