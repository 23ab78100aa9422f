"""One run of `modelsync rollout`: observe, decide, take one step, until nothing is left to do."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import ClassVar

from modelsync.deadline import Deadline
from modelsync.errors import ClusterUnreachable, Conflict, SyncError
from modelsync.observability.logs import event
from modelsync.releases.environment import environment_of
from modelsync.rollout.cluster import Cluster
from modelsync.rollout.decision import Look, Step, decide
from modelsync.rollout.report import why_resting
from modelsync.rollout.repository import Repository
from modelsync.rollout.steps import FINE, UNKNOWN, Steps
from modelsync.settings import NO_REVISION, Settings

POLL = 1.0
"""Seconds between two reads of the Deployment."""

REF_POLL = 30.0
"""Seconds between two reads of the ref, while pods get ready: a push may be the cure for pods that
do not.
"""

log = logging.getLogger(__name__)


def run(settings: Settings, before: Callable[[RolloutRun], None] = lambda run: None) -> int:
    """Bring the ref's tip to all pods, or find out why that fails; returns the exit code.

    `before` is called with the run before its first step. Raises SettingsError.
    """
    if settings.standalone:  # the manifests in k8s/ before they are edited
        message = "rollout: gitPath is not set: nothing to roll out"
        event(log, logging.INFO, message, event="rollout", result="resting")
        return FINE
    try:
        one = RolloutRun(settings, Deadline(settings.rollout.timeout))
        before(one)
        return one.run()
    except (SyncError, ClusterUnreachable) as error:
        fields = {"event": "rollout", "result": "unknown", "reason": error.reason}
        event(log, logging.ERROR, f"rollout: {error}", **fields)
        return UNKNOWN


class RolloutRun:
    """One run of a rollout; the follower has one that never ends, and renews its deadline.

    Everything that it asks is at hand: the `cluster`, the `repository`, the `steps`.
    """

    repository_type: ClassVar[type[Repository]] = Repository

    def __init__(self, settings: Settings, deadline: Deadline) -> None:
        git = replace(settings.git, revision=NO_REVISION, proven=NO_REVISION, pinned=False)
        self.settings = replace(settings, git=git)
        self.repository = self.repository_type(self.settings, deadline)
        self.cluster = Cluster(settings.rollout, deadline)
        self.environment = environment_of(self.settings, self.repository.view)
        self.steps = Steps(self.settings, self.repository, self.cluster, self.environment)
        self._deadline = deadline

    @property
    def tip(self) -> str:
        """The commit that the ref pointed to when it was last read."""
        return self.repository.tip

    @property
    def told(self) -> Counter[str]:
        """The number of Events by their reason."""
        return self.steps.announcer.told

    def run(self) -> int:
        """Take steps until there is none; returns the exit code.

        Raises SyncError, ClusterUnreachable, SettingsError.
        """
        self.repository.resolve_patiently()
        self.apply_tags()
        refreshed, pin = time.monotonic(), self.tip
        while True:
            if not self._deadline.remaining():
                raise ClusterUnreachable(
                    f"{pin[:12]} is still on its way to the pods; the next run continues"
                )
            look = self.look()
            pin = look.seen.pin.commit or self.tip
            if look.step is Step.REST:
                self.steps.announcer.log(self.why_resting(look), look, result="resting")
                return self.steps.code
            if look.step is not Step.WAIT and self.take(look):
                continue
            time.sleep(min(POLL, self._deadline.remaining()))
            if time.monotonic() - refreshed > REF_POLL:
                self.repository.refresh()
                refreshed = time.monotonic()

    def resolve(self) -> None:
        """Read the ref once. Raises SyncError."""
        self.repository.resolve()

    def apply_tags(self) -> None:
        """Give the versions in the database, if there is one, the labels of the tags."""
        self.repository.apply_tags()

    def renew(self, deadline: Deadline) -> None:
        """Give what comes next another deadline."""
        self._deadline = self.repository.deadline = self.cluster.deadline = deadline

    def look(self) -> Look:
        """Read the Deployment and the state, and decide what is next.

        Raises ClusterUnreachable, SettingsError.
        """
        seen, state = self.cluster.deployment(), self.cluster.state()
        step = decide(self.tip, seen, state, self.environment, datetime.now(UTC))
        return Look(self.tip, seen, state, step)

    def take(self, look: Look) -> bool:
        """Take the step of a look; false if what was seen has changed meanwhile.

        Raises SyncError, ClusterUnreachable, SettingsError.
        """
        try:
            self.steps.take(look)
        except Conflict as conflict:
            message = f"{conflict}; reading the state again"
            self.steps.announcer.log(message, look, result="conflict")
            return False
        return True

    def why_resting(self, look: Look) -> str:
        """The reason to rest, for the log."""
        return why_resting(look, self.environment, datetime.now(UTC))
