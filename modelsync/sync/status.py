"""What is known of syncing, in `home/status.json`: for people, for metrics, and for the next sync."""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from modelsync.clock import now
from modelsync.errors import ReleaseRejected, StorageFailed, SyncError
from modelsync.files import as_json, storage, write_atomically
from modelsync.observability.logs import event

Result = Literal["", "published", "unchanged", "failed"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Status:
    """What is known of syncing, for people and metrics; also which commits not to try again.

    `wanted_commit` is what the last attempt found out, so it is empty after one that did not get so
    far. `rejected` maps commits, as `rejection` names them, to reasons, `failures` reasons to
    counts. Times are as `now()` gives them. What never happened is empty. `served_commit` and
    `environment` tell where `release` was last found to be just what is wanted: a commit that
    changes no model moves them on, and not the release. `next_attempt` is when the supervisor
    starts the next sync by itself.
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


def rejection(commit: str, environment: str) -> str:
    """The key of `Status.rejected`: what was refused in one environment may do in another."""
    return f"{commit} {environment}"


def read_status(home: Path) -> Status:
    """The last status; a missing or damaged file counts as none, because the next sync writes it
    anew.
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
        _log.warning("status.json cannot be read and starts anew: %s", type(error).__name__)
        return Status()


def change_status(home: Path, change: Callable[[Status], Status]) -> None:
    """Replace the status by what `change` makes of it; of two at once, neither is lost. Raises
    StorageFailed.
    """
    with storage():
        home.mkdir(parents=True, exist_ok=True)
        # On the folder itself: not `lock`, because also who waits for that in vain has something to
        # tell.
        number = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(number, fcntl.LOCK_EX)
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
    """Write over a file in place: all that a full disk, or a folder where nothing can be made,
    leaves room for.

    In one call and padded to the old length, so that only a power cut can leave half of it. Raises
    OSError.
    """
    with path.open("r+b", buffering=0) as file:
        file.write(data.ljust(path.stat().st_size))


# --- what becomes of it ---------------------------------------------------------------------------


def failed(home: Path, error: SyncError, wanted: str = "", environment: str = "") -> None:
    """Log that a sync failed, count it and write down why; `wanted` is the commit, where the sync
    got so far.
    """
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
            counted(status, error.reason, str(error)),
            wanted_commit=wanted,
            rejected=rejected,
        )

    tell(home, change)


def counted(status: Status, reason: str, message: str) -> Status:
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


def tell(home: Path, change: Callable[[Status], Status]) -> None:
    """Change the status; a disk that is full keeps nobody from serving what there is."""
    try:
        change_status(home, change)
    except StorageFailed as error:
        _log.error("the status cannot be written: %s", error)


def planned(home: Path, moment: datetime | None) -> None:
    """Write down when the next sync will start; None where that takes somebody who asks."""
    text = moment.astimezone(UTC).isoformat(timespec="seconds") if moment else ""
    if read_status(home).next_attempt != text:
        tell(home, lambda status: replace(status, next_attempt=text))


def succeeded(home: Path, result: Result, *, wanted: str, release: str, environment: str) -> None:
    """Write down that a sync went well, and of which commit the current release is just what is
    wanted.
    """
    tell(
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
