"""The status of syncing, in `home/status.json`: for people, for metrics, and for the next sync."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from modelsync import locks
from modelsync.clock import now
from modelsync.errors import ReleaseRejected, StorageFailed, SyncError
from modelsync.files import as_json, storage, write_atomically
from modelsync.observability.logs import event

Result = Literal["", "published", "unchanged", "failed"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Status:
    """The status of syncing. Fields of events that never happened are empty.

    `wanted_commit` is what the last attempt resolved, so it is empty after one that failed before.
    `release` was last found up to date for `served_commit` and `environment`; a commit that changes
    no model changes these, and not the release. `rejected` maps commits that are not tried again,
    as `rejection` names them, to reasons; `unfit` holds versions of models that are not tried for a
    while (`unfit.record`); `failures` maps reasons to counts. `next_attempt` is when
    the supervisor starts the next sync by itself. Times are as `clock.now` gives them.
    """

    wanted_commit: str = ""
    served_commit: str = ""
    release: str = ""
    environment: str = ""
    last_attempt: str = ""
    last_success: str = ""
    last_result: Result = ""
    reason: str = ""
    message: str = ""
    next_attempt: str = ""
    failures: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, str] = field(default_factory=dict)
    unfit: dict[str, dict[str, Any]] = field(default_factory=dict)


def rejection(commit: str, environment: str) -> str:
    """The key of `Status.rejected`: a commit rejected in one environment may pass in another."""
    return f"{commit} {environment}"


def read_status(home: Path) -> Status:
    """The last status; a missing or damaged file counts as an empty one.

    The next sync writes it anew.
    """
    try:
        values = json.loads((home / "status.json").read_bytes())
        known = {item.name: values[item.name] for item in fields(Status) if item.name in values}
        if any(type(value) is not type(getattr(Status(), name)) for name, value in known.items()):
            raise ValueError("a value is of the wrong type")
        return Status(**known)
    except FileNotFoundError:
        return Status()
    except (OSError, ValueError, TypeError) as error:
        _log.warning("status.json cannot be read and is replaced: %s", type(error).__name__)
        return Status()


def change_status(home: Path, change: Callable[[Status], Status]) -> None:
    """Replace the status by the result of `change`. Two changes at once exclude each other.

    Raises StorageFailed.
    """
    with storage():
        home.mkdir(parents=True, exist_ok=True)
        # The lock of the folder, not the file `lock`: a sync that waits for that file in vain
        # records its failure here.
        number = locks.open_for_lock(home)
        try:
            locks.lock(number)
            write_status(home, change(read_status(home)))
        finally:
            os.close(number)


def write_status(home: Path, status: Status) -> None:
    """Replace the status; a reader sees the old one or the new one. Raises StorageFailed."""
    path, data = home / "status.json", as_json(asdict(status))
    with storage():
        home.mkdir(parents=True, exist_ok=True)
        try:
            write_atomically(path, data)
        except OSError:
            _overwrite(path, data)


def _overwrite(path: Path, data: bytes) -> None:
    """Overwrite a file in place, if a full disk or a read-only folder allows nothing else.

    In one call and padded to the old length, so that only a power cut can leave half of it. Raises
    OSError.
    """
    with path.open("r+b", buffering=0) as file:
        file.write(data.ljust(path.stat().st_size))


# --- records of an attempt ------------------------------------------------------------------------


def record_failure(home: Path, error: SyncError, wanted: str = "", environment: str = "") -> None:
    """Log a failed sync, count it and record why. `wanted`: the commit, if it was resolved."""
    before = read_status(home)
    event(
        _log,
        logging.ERROR,
        f"sync error: {error}",
        event="sync",
        result="error",
        reason=error.reason,
        served=before.served_commit or None,
        wanted=wanted or None,
    )

    def change(status: Status) -> Status:
        rejected = status.rejected
        if (
            isinstance(error, ReleaseRejected)
            and (key := rejection(wanted, environment)) not in rejected
        ):
            rejected = {key: str(error)}
        return replace(
            with_failure(status, error.reason, str(error)),
            wanted_commit=wanted,
            rejected=rejected,
        )

    _change_or_log(home, change)


def with_failure(status: Status, reason: str, message: str) -> Status:
    """The status after one more failure."""
    failures = {**status.failures, reason: status.failures.get(reason, 0) + 1}
    return replace(
        status,
        last_attempt=now(),
        last_result="failed",
        reason=reason,
        message=message,
        failures=failures,
    )


def _change_or_log(home: Path, change: Callable[[Status], Status]) -> None:
    """Change the status. A failure is logged: a full disk must not keep the
    service from serving.
    """
    try:
        change_status(home, change)
    except StorageFailed as error:
        _log.error("the status cannot be written: %s", error)


def record_next_attempt(home: Path, moment: datetime | None) -> None:
    """Record when the next sync starts by itself; None if none will."""
    text = moment.astimezone(UTC).isoformat(timespec="seconds") if moment else ""
    if read_status(home).next_attempt != text:
        _change_or_log(home, lambda status: replace(status, next_attempt=text))


def record_success(
    home: Path, result: Result, *, wanted: str, release: str, environment: str
) -> None:
    """Record a successful sync: the current release is up to date for `wanted`."""
    _change_or_log(
        home,
        lambda status: replace(
            status,
            wanted_commit=wanted,
            served_commit=wanted,
            release=release,
            environment=environment,
            last_attempt=now(),
            last_result=result,
            reason="",
            message="",
            rejected={},
            last_success=now(),
        ),
    )
