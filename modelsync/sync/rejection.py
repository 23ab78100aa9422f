"""Withdraws a published release that no generation could serve.

For good only if the commit is to blame: a generation that was killed, or had no time or memory, is
tried again.
"""

from __future__ import annotations

from dataclasses import replace

from modelsync.deadline import Deadline
from modelsync.errors import GenerationFailed, ReleaseRejected
from modelsync.releases.store import Release, Releases
from modelsync.settings import Settings
from modelsync.sync.status import Status, change_status, rejection, with_failure


def withdraw(
    config: Settings, release: Release, serving: Release | None, reason: str, *, lasting: bool
) -> None:
    """Withdraw a published release that no generation could serve; `serving` is current again.

    `lasting`: its commit is not tried again. Raises SyncError.
    """
    error = ReleaseRejected if lasting else GenerationFailed
    refused = {rejection(release.commit, release.environment): reason} if lasting else {}

    def withdrawn(status: Status) -> Status:
        return replace(
            with_failure(status, error.reason, reason),
            served_commit=serving.commit if serving else "",
            release=serving.id if serving else "",
            environment=serving.environment if serving else "",
            rejected=refused,
        )

    releases = Releases(config.state.home)
    with releases.lock(Deadline(config.sync.timeout)):
        if serving:
            releases.make_current(serving)
        change_status(config.state.home, withdrawn)
