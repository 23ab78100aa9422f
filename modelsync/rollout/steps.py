"""Each step of a run: what it writes, what it tells, and the exit code that follows."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

from modelsync.errors import NoModels, RefNotFound, RemoteUnreachable
from modelsync.rollout.announcing import RolloutAnnouncer
from modelsync.rollout.cluster import Cluster
from modelsync.rollout.decision import Look, RolloutState, Step
from modelsync.rollout.pods import Complaint
from modelsync.rollout.repository import Repository
from modelsync.settings import Revision, Settings

FINE, REJECTED, UNKNOWN = 0, 1, 75
"""Exit codes: nothing went wrong; a commit was rejected or rolled back; the outcome is unknown."""

LATE_POLL = 5.0
"""Seconds between two looks at pods that are late, and none of which complains."""

HOW_TO_PIN = "to pin a commit, run `modelsync rollout --pin` with a branch, a tag or a hash"


class Steps:
    """Takes steps for one Deployment. `code` is the exit code of what was done so far."""

    def __init__(
        self, settings: Settings, repository: Repository, cluster: Cluster, environment: str
    ) -> None:
        self._settings = settings
        self._repository = repository
        self._cluster = cluster
        self._environment = environment
        self.announcer = RolloutAnnouncer(cluster)
        self.code = FINE

    def take(self, look: Look) -> None:
        """Take the step of a look, which is neither REST nor WAIT.

        An Event is recorded before the state that it announces, so that a crash loses none; a
        repeated Event is not recorded again. Raises Conflict if what was seen has changed,
        SyncError, ClusterUnreachable, SettingsError.
        """
        match look.step:
            case Step.CHECK:
                self._check(look)
            case Step.NOTE:
                self._note(look)
            case Step.SETTLE:
                self._settle(look)
            case Step.ADOPT:
                message = f"{_short(look.seen.pin)}, pinned by hand, is ready"
                self.announcer.log(message, look, result="adopted")
                self._cluster.write(look.state.adopting(look.seen.pin))
            case Step.RESPECT:
                self._respect(look)
            case Step.MEND:
                self._mend(look)
            case Step.REJECT_STUCK:
                self._reject_stuck(look)
            case Step.PIN_BACK:
                self.code = REJECTED
                self._pin_back(look)
            case Step.ABANDON:
                self._abandon(look)

    # --- a new commit -----------------------------------------------------------------------------

    def _check(self, look: Look) -> None:
        """Check the tip; pin it, or reject it for good or for a while."""
        from modelsync.rollout.verdict import evaluate  # which needs all of the check

        tip, short = look.tip, look.tip[:12]
        self.announcer.log(f"checking {short}", look, result="checking")
        verdict = evaluate(self.settings_in_time(), tip, look.seen.pin)
        if not verdict.rejected:
            self.pin(look, Revision(tip, verdict.broken))
            return
        state = self._rejecting(look, "check", verdict.rejected, passing=verdict.passing)
        if verdict.passing:
            self.code = UNKNOWN
            message = f"{short} is checked again at {state.retry}: {verdict.rejected}"
            self.announcer.announce("RolloutPostponed", message, look)
        else:
            self.code = REJECTED
            message = f"{short} is not rolled out: {verdict.rejected}"
            self.announcer.announce("RolloutRejected", message, look)
        self._cluster.write(state)

    def _note(self, look: Look) -> None:
        if look.state.good.commit != look.tip:  # it has come back, and is there
            message = f"{look.tip[:12]} is on its way to the pods"
            self.announcer.announce("RolloutStarted", message, look)
        self._cluster.write(look.state.noting(look.tip))

    def _settle(self, look: Look) -> None:
        if look.state.good.commit != look.tip:
            message = f"{look.tip[:12]} is ready in all {look.seen.wanted} pods"
            self.announcer.announce("RolloutComplete", message, look)
        self._cluster.write(look.state.settling(look.seen.pin))

    def _reject_stuck(self, look: Look) -> None:
        """Reject a commit that is pinned; the next step pins the good one."""
        if not (complaints := self._complaints(look)):
            return
        self.code = REJECTED
        short, why = look.tip[:12], _joined(complaints)
        passing = all(one.passing for one in complaints)
        state = self._rejecting(look, "deadline", why, passing=passing)
        again = f"; it is tried again at {state.retry}" if state.retry else ""
        if look.state.good:
            message = f"{short} goes back to {_short(look.state.good)}{again}: {why}"
            self.announcer.announce("RolloutRolledBack", message, look)
        else:
            message = f"{short} does not get ready, and there is no commit to go back to: {why}"
            self.announcer.announce("RolloutStuck", message, look)
        self._cluster.write(state)

    # --- what people have pinned ------------------------------------------------------------------

    def _respect(self, look: Look) -> None:
        message = (
            f"{look.tip[:12]} was undone by hand in favour of {_short(look.seen.pin)}; it is not "
            "tried again until the ref moves, or somebody runs `modelsync rollout --retry`"
        )
        self.announcer.announce("RolloutUndone", message, look)
        self._cluster.write(look.state.respecting(look.tip, message))

    def _mend(self, look: Look) -> None:
        """Pin the commit that a pin names which is no full hash; if there is none, the good one."""
        from modelsync.rollout.verdict import revision_of

        text = look.seen.pin.commit
        try:
            commit = self._repository.find(text.split()[0])
            pin = revision_of(self.settings_in_time(), commit)
        except (RefNotFound, NoModels) as error:
            self._refuse_pin(look, f"{text[:100]!r} was pinned by hand, but {error}; {HOW_TO_PIN}")
            return
        message = f"{text[:100]!r}, pinned by hand, stands for {commit}, which is pinned instead"
        self.announcer.announce("RolloutPinned", message, look)
        self.pin(look, pin)

    def _abandon(self, look: Look) -> None:
        """Give up a commit that was pinned by hand and does not get ready."""
        if complaints := self._complaints(look):
            pin = _short(look.seen.pin)
            why = f"{pin}, pinned by hand, does not get ready: {_joined(complaints)}; {HOW_TO_PIN}"
            self._refuse_pin(look, why)

    def _refuse_pin(self, look: Look, why: str) -> None:
        """Pin the good commit in place of what a person has pinned; without one, the tip again."""
        self.code = REJECTED
        back = _short(look.state.good) or "the ref's commit"
        self.announcer.announce("RolloutPinRefused", f"back to {back}: {why}", look)
        if not look.state.good and look.state.rejected:
            self._cluster.write(look.state.retrying())
        self._pin_back(look)

    # --- shared -----------------------------------------------------------------------------------

    def pin(self, look: Look, pin: Revision) -> None:
        """Pin the pods. Raises Conflict."""
        self._cluster.pin(look.seen, pin)
        message = f"pinned {_short(pin)}"
        self.announcer.log(message, look, result="pinned", broken=sorted(pin.broken))

    def _pin_back(self, look: Look) -> None:
        self._cluster.pin(look.seen, look.state.good)
        message = f"pinned back to {_short(look.state.good) or 'no commit'}"
        self.announcer.log(message, look, result="pinned back")

    def _rejecting(self, look: Look, reason: str, why: str, *, passing: bool) -> RolloutState:
        return look.state.rejecting(
            look.tip,
            self._environment,
            reason,
            why,
            passing_at=datetime.now(UTC) if passing else None,
        )

    def settings_in_time(self) -> Settings:
        """The settings for a check that ends in time."""
        seconds = self._repository.sync_deadline().seconds
        return replace(self._settings, sync=replace(self._settings.sync, timeout=seconds))

    def _complaints(self, look: Look) -> list[Complaint]:
        """Why the pods are not ready; none if the ref has moved, or they are just late.

        Raises RemoteUnreachable if they cannot get their commit: then it is not to blame.
        """
        # Raises if the repository is unreachable: then pods cannot fetch from it either.
        before = self._repository.tip
        if self._repository.resolve() != before:
            return []
        complaints = self._cluster.diagnose(look.seen)
        pin = _short(look.seen.pin)
        if not complaints:
            # Their controller, the scheduler or the kubelet is late: the API server was away, say.
            self.announcer.log(f"{pin} is late, and no pod complains", look, result="waiting")
            time.sleep(min(LATE_POLL, self._repository.deadline.remaining()))
        elif all(one.away for one in complaints):
            why = _joined(complaints)
            raise RemoteUnreachable(f"the pods cannot get {pin}, and keep trying: {why}")
        return complaints


def _short(revision: Revision) -> str:
    return revision.commit[:12]


def _joined(complaints: list[Complaint]) -> str:
    return "; ".join(one.text for one in complaints)
