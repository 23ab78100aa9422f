"""Withdraws a published release that no generation could serve."""

from __future__ import annotations

from dataclasses import replace

from modelsync.deadline import Deadline
from modelsync.errors import ReleaseRejected
from modelsync.releases.store import Release, Releases
from modelsync.settings import Settings
from modelsync.sync.status import Status, change_status, rejection, with_failure


def reject(config: Settings, release: Release, serving: Release | None, reason: str) -> None:
    """Withdraw a published release that no generation could serve; `serving` is current again."""

    def withdrawn(status: Status) -> Status:
        return replace(
            with_failure(status, ReleaseRejected.reason, reason),
            served_commit=serving.commit if serving else "",
            release=serving.id if serving else "",
            environment=serving.environment if serving else "",
            rejected={rejection(release.commit, release.environment): reason},
        )

    releases = Releases(config.state.home)
    with releases.lock(Deadline(config.sync.timeout)):
        if serving:
            releases.make_current(serving)
        change_status(config.state.home, withdrawn)
