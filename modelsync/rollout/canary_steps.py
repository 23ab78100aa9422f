"""The steps that only a canary has: to judge its commit, to promote it, to leave it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from modelsync.rollout.canary_figures import Snapshot, collect
from modelsync.rollout.canary_rule import judge
from modelsync.rollout.cluster import Cluster
from modelsync.rollout.decision import Look, Step
from modelsync.rollout.job import RolloutRun
from modelsync.rollout.repository import Repository
from modelsync.rollout.steps import REJECTED, Steps
from modelsync.settings import NO_REVISION, Settings


class CanarySteps(Steps):
    """Takes steps for a canary. `base`: the good revision of the stable pods."""

    def __init__(
        self,
        settings: Settings,
        repository: Repository,
        cluster: Cluster,
        environment: str,
        stable: RolloutRun,
    ) -> None:
        super().__init__(settings, repository, cluster, environment)
        self._stable = stable
        self.base = NO_REVISION
        self.promoted = False
        """Whether a commit was promoted: then there is something to do for the stable pods."""

    def on_trial(self, look: Look) -> bool:
        """Whether the commit of the canary is ready, and is another one than the stable pods'."""
        ready = look.seen.progress == "done"
        pin, good = look.seen.pin.commit, look.state.good.commit
        return ready and pin == good == look.tip != self.base.commit

    def take(self, look: Look) -> None:
        """Take the step of a look, as `Steps.take` does."""
        match look.step:
            case Step.CHECK if look.tip == self.base.commit:
                self.pin(
                    look, self.base
                )  # it is ready in the stable pods, so it need not be checked
            case Step.JUDGE:
                self._judge(look)
            case Step.LEAVE:
                message = (
                    f"the canary goes back to what the stable pods serve: {look.state.message}"
                )
                self.announcer.log(message, look, result="left")
                why = look.state.message
                left = look.state.judging(look.tip, "rejected", why, look.state.environment)
                self._cluster.write(left)
            case _:
                super().take(look)

    def promote(self, look: Look, why: str) -> None:
        """Pin the stable pods to the canary's commit, until their ref moves; they are then waited
        for, and taken back, like those of any commit that was pinned by hand.

        Raises Conflict if either side has changed, SyncError, ClusterUnreachable, SettingsError.
        """
        pin, short = look.seen.pin, look.seen.pin.commit[:12]
        steps, ref = self._stable.steps, self._stable.repository.resolve()
        before = self._stable.look()
        message = f"{short}, the canary's commit, is promoted until the ref moves: {why}"
        state = before.state.retrying()
        if pin.commit != ref:
            state = before.state.pinning(ref, message)
        # The state first: else another run might roll out the ref's commit in between.
        self._stable.cluster.write(state)
        steps.announcer.announce("CanaryPromoted", message, before)
        if before.seen.pin != pin:
            steps.pin(before, pin)
        self._cluster.write(look.state.judging(pin.commit, "promoted", why))
        self.promoted = True

    def drop(self, look: Look, commit: str, why: str) -> None:
        """Take a commit off the canary. It is not tried again until the ref moves. Raises Conflict,
        ClusterUnreachable, SettingsError.
        """
        self.code = REJECTED
        message = f"{commit[:12]} is dropped, and not tried again until the ref moves: {why}"
        self.announcer.announce("CanaryDropped", message, look)
        self._cluster.write(look.state.judging(commit, "dropped", why))

    def _judge(self, look: Look) -> None:
        """Begin the trial of a commit, or decide over it by what was counted since it began."""
        before = Snapshot.parse(look.state.trial)
        if before and before.commit != look.tip:
            before = None
        known = [*before.canary, *before.stable] if before else []
        now = Snapshot(
            look.tip,
            datetime.now(UTC).isoformat(),
            collect(self._cluster.pods(look.seen.pin), known),
            collect(self._stable_pods(), known),
        )
        if before is None:
            self.announcer.log(f"{look.tip[:12]} is on trial", look, result="on trial")
            self._cluster.write(replace(look.state, trial=str(now)))
            return
        outcome, reason = judge(before.until(now), self._settings.canary)
        message = f"{look.tip[:12]} is on trial: {outcome}, {reason}"
        self.announcer.log(message, look, result="judged", outcome=outcome)
        if outcome == "drop":
            self.drop(look, look.tip, reason)
        elif outcome == "promote" and self._settings.canary.decides == "both":
            self.promote(look, reason)

    def _stable_pods(self) -> list[Any]:
        """The stable pods that have proven what they serve."""
        self._stable.cluster.deployment()  # which says by what labels they are found
        return self._stable.cluster.pods(self.base)
