"""The canary: a second Deployment that follows another ref, on which a commit proves itself.

Its rollouts are those of any Deployment. Only what is wanted differs: the commit of its ref, until
that was promoted, dropped or rejected; and what the stable pods serve, while there is nothing to
try. So its share of the requests is always answered by something that is good.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic

from modelsync.deadline import Deadline
from modelsync.errors import ClusterUnreachable, RefNotFound, SyncError
from modelsync.observability.logs import event
from modelsync.rollout import job
from modelsync.rollout.canary_steps import CanarySteps
from modelsync.rollout.decision import Look, RolloutState, Step, decide
from modelsync.rollout.job import RolloutRun
from modelsync.rollout.repository import Repository
from modelsync.rollout.steps import UNKNOWN
from modelsync.settings import Settings

JUDGE_POLL = 30.0
"""Seconds between two looks at the figures of a commit."""

log = logging.getLogger(__name__)


def run(settings: Settings, before: Callable[[RolloutRun], None] = lambda run: None) -> int:
    """Run the rollout of the stable pods, then that of the canary; returns the exit code.

    `before` is called with the first run before its first step. Raises SettingsError.
    """
    code = job.run(settings, before)
    if settings.standalone:
        return code
    try:
        deadline = Deadline(settings.rollout.timeout)
        canary = CanaryRun(settings, deadline, RolloutRun(settings, deadline))
        own = canary.run()
    except (SyncError, ClusterUnreachable) as error:
        fields = {"event": "rollout", "result": "unknown", "reason": error.reason}
        event(log, logging.ERROR, f"rollout of the canary: {error}", **fields)
        return code or UNKNOWN
    if canary.steps.promoted:
        code = job.run(settings) or code
    return code or own


class CanaryRepository(Repository):
    """The repository, where the ref need not exist: then there is no tip."""

    def resolve(self) -> str:
        """Read the ref once; returns the tip, empty without the ref. Raises SyncError."""
        try:
            return super().resolve()
        except RefNotFound:
            self.tip = ""
            return ""


class CanaryRun(RolloutRun):
    """One run of the canary's rollout, beside that of the `stable` Deployment."""

    repository_type = CanaryRepository

    def __init__(self, settings: Settings, deadline: Deadline, stable: RolloutRun) -> None:
        rollout = replace(
            settings.rollout, deployment=f"{settings.rollout.deployment}-canary", state=""
        )
        git = replace(settings.git, ref=settings.canary.ref)
        super().__init__(replace(settings, rollout=rollout, git=git), deadline)
        self.stable = stable
        self.steps: CanarySteps = CanarySteps(
            self.settings, self.repository, self.cluster, self.environment, stable
        )
        self._judge_due = 0.0

    @property
    def tip(self) -> str:
        """The commit of the ref; without one that which the stable pods serve."""
        return self.repository.tip or self.steps.base.commit

    def renew(self, deadline: Deadline) -> None:
        """Give what comes next another deadline."""
        super().renew(deadline)
        self.stable.renew(deadline)

    def apply_tags(self) -> None:
        """Do nothing: the stable run does."""

    def resolve(self) -> None:
        """Read the ref once, and what the stable pods serve. Raises SyncError, ClusterUnreachable,
        SettingsError.
        """
        self.repository.resolve()
        self.steps.base = self.stable.cluster.state().good

    def look(self) -> Look:
        """Read both sides, and decide."""
        seen, state = self.cluster.deployment(), self.cluster.state()
        self.steps.base = self.stable.cluster.state().good
        if not (wanted := self._wanted(state)):
            return Look(wanted, seen, state, Step.REST)
        now = datetime.now(UTC)
        look = Look(wanted, seen, state, decide(wanted, seen, state, self.environment, now))
        return look._replace(step=self._beyond(look, now)) if look.step is Step.REST else look

    def take(self, look: Look) -> bool:
        """Take the step of a look; false if what was seen has changed meanwhile."""
        if look.step is Step.JUDGE:
            self._judge_due = monotonic() + JUDGE_POLL
        return super().take(look)

    def why_resting(self, look: Look) -> str:
        """The reason to rest, for the log."""
        ref, tip, state = self.settings.git.ref, self.repository.tip, look.state
        if look.tip and look.tip == tip:
            return super().why_resting(look)
        serves = f"the canary serves {look.tip[:12] or 'nothing'}, as the stable pods do"
        if not tip:
            return f"{ref} does not exist: {serves}"
        if state.is_judged(tip, self.environment):
            return f"{tip[:12]} was {state.outcome}: {serves}"
        return serves

    def _wanted(self, state: RolloutState) -> str:
        """The commit that the canary is to serve."""
        tip, base = self.repository.tip, self.steps.base.commit
        if not base:  # the stable pods wait for their first commit
            return tip
        if not tip or not state.good:
            return base
        if not state.is_judged(tip, self.environment):
            return tip
        # As long as the stable pods are on their way to it.
        stays = state.outcome == "promoted" and self.stable.cluster.deployment().pin.commit == tip
        return tip if stays else base

    def _beyond(self, look: Look, now: datetime) -> Step:
        """The step where the rollout itself has none."""
        tip, state = self.repository.tip, look.state
        if look.tip != tip or state.is_judged(tip, self.environment):
            return Step.REST
        if state.rejects(tip, self.environment, now):
            lasting = not state.retry and state.reason not in {"undone", "pinned"}
            return Step.LEAVE if lasting else Step.REST
        due = self.settings.canary.decides != "nothing" and monotonic() >= self._judge_due
        return Step.JUDGE if due and self.steps.on_trial(look) else Step.REST
