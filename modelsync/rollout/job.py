"""One run of `modelsync rollout`: observe, decide, take one step, until nothing is left to do."""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import replace
from typing import Literal, NamedTuple

from modelsync.deadline import Deadline
from modelsync.errors import ClusterUnreachable, Conflict, RemoteUnreachable, SyncError
from modelsync.observability.logs import event
from modelsync.releases.environment import environment_of
from modelsync.rollout.cluster import Cluster
from modelsync.rollout.decision import Observed, RolloutState, Step, decide
from modelsync.rollout.verdict import evaluate
from modelsync.settings import Revision, Settings
from modelsync.sync.schedule import RETRY
from modelsync.sync.sources import GitSource

FINE, REJECTED, UNKNOWN = 0, 1, 75
"""Exit codes: nothing went wrong; a commit was rejected or rolled back; the outcome is unknown."""

POLL = 1.0
"""Seconds between two reads of the Deployment."""

LATE_POLL = 5.0
"""Seconds between two looks at pods that are late, and none of which complains."""

REF_POLL = 30.0
"""Seconds between two reads of the ref, while pods get ready: a push may be the cure for pods that
do not.
"""

log = logging.getLogger(__name__)


def run(settings: Settings) -> int:
    """Bring the ref's tip to all pods, or find out why that fails; returns the exit code.

    Raises SettingsError.
    """
    if settings.standalone:  # the manifests in k8s/ before they are edited
        event(
            log,
            logging.INFO,
            "rollout: gitPath is not set: nothing to roll out",
            event="rollout",
            result="resting",
        )
        return FINE
    deadline = Deadline(settings.rollout.timeout)
    try:
        return RolloutRun(settings, deadline).run()
    except (SyncError, ClusterUnreachable) as error:
        event(
            log,
            logging.ERROR,
            f"rollout: {error}",
            event="rollout",
            result="unknown",
            reason=error.reason,
        )
        return UNKNOWN


class Look(NamedTuple):
    """One look at the Deployment and the state, and the next step that follows from them."""

    tip: str
    seen: Observed
    state: RolloutState
    step: Step


class RolloutRun:
    """One run of a rollout; the follower has one that never ends, and renews its deadline.

    `tip` is the commit that the ref points to, `told` counts the Events by their reason.
    """

    def __init__(self, settings: Settings, deadline: Deadline) -> None:
        self._settings = replace(
            settings, git=replace(settings.git, revision=Revision(), proven=Revision())
        )
        self._deadline = deadline
        self._source = GitSource(self._settings)
        self._cluster = Cluster(settings.rollout, deadline)
        self._environment = environment_of(self._settings, self._source.view)
        self.tip = ""
        self.told: Counter[str] = Counter()
        self._code = FINE

    def run(self) -> int:
        """Take steps until there is none; returns the exit code.

        Raises SyncError, ClusterUnreachable, SettingsError.
        """
        self.tip = self._resolve()
        self.apply_tags()
        refreshed = time.monotonic()
        while True:
            if not self._deadline.remaining():
                raise ClusterUnreachable(
                    f"{self.tip[:12]} is still on its way to the pods; the next run continues"
                )
            look = self.look()
            if look.step is Step.REST:
                self._log(self.why_resting(look), look.seen, result="resting")
                return self._code
            if look.step is not Step.WAIT and self.take(look):
                continue
            time.sleep(min(POLL, self._deadline.remaining()))
            if time.monotonic() - refreshed > REF_POLL:
                self._refresh_tip()
                refreshed = time.monotonic()

    def renew(self, deadline: Deadline) -> None:
        """Give what comes next another deadline."""
        self._deadline = self._cluster.deadline = deadline

    def look(self) -> Look:
        """Read the Deployment and the state, and decide. Raises ClusterUnreachable, SettingsError.
        """
        seen, state = self._cluster.deployment(), self._cluster.state()
        return Look(self.tip, seen, state, decide(self.tip, seen, state, self._environment))

    def take(self, look: Look) -> bool:
        """Take the step of a look; false if what was seen has changed meanwhile.

        Raises SyncError, ClusterUnreachable, SettingsError.
        """
        try:
            self._take(look.step, look.seen, look.state)
        except Conflict as conflict:
            self._log(f"{conflict}; reading the state again", look.seen, result="conflict")
            return False
        return True

    def why_resting(self, look: Look) -> str:
        """The reason to rest, for the log."""
        return _why_resting(look.tip, look.seen, look.state, self._environment)

    # --- the repository ---------------------------------------------------------------------------

    def _resolve(self) -> str:
        """The ref's tip; a failed read is tried again until the deadline. Raises SyncError."""
        failures = 0
        while True:
            try:
                return self._source.resolve(self._sync_deadline())
            except SyncError as error:
                failures += 1
                pause = RETRY.pause(failures, 0.5)
                if pause >= self._deadline.remaining():
                    raise
                event(
                    log,
                    logging.WARNING,
                    f"rollout: {error}",
                    event="rollout",
                    result="retry",
                    reason=error.reason,
                )
                time.sleep(pause)

    def resolve(self) -> None:
        """Read the ref once. Raises SyncError."""
        self.tip = self._source.resolve(self._sync_deadline())

    def apply_tags(self) -> None:
        """Give the versions in the database, if there is one, the labels of the tags."""
        if self._settings.store.database_url:
            from modelsync.rollout.labels import apply_tags  # which needs all of the store

            apply_tags(self._settings, self._source, self._sync_deadline())

    def _refresh_tip(self) -> None:
        """Read the ref again; a failure is logged, the rollout continues."""
        try:
            tip = self._source.resolve(self._sync_deadline())
        except SyncError as error:  # pods on their way fetch by themselves
            log.info("the repository cannot be asked for a newer commit: %s", error)
            return
        if tip != self.tip:
            event(
                log,
                logging.INFO,
                f"rollout: a newer commit, {tip[:12]}",
                event="rollout",
                result="newer",
                tip=tip,
            )
            self.tip = tip

    def _sync_deadline(self) -> Deadline:
        return Deadline(max(0.1, min(self._settings.sync.timeout, self._deadline.remaining())))

    # --- the steps --------------------------------------------------------------------------------

    def _take(self, step: Step, seen: Observed, state: RolloutState) -> None:
        """Take one step.

        An Event is recorded before the state that it announces, so that a crash loses none; a
        repeated Event is not recorded again.
        """
        tip, short = self.tip, self.tip[:12]
        match step:
            case Step.CHECK:
                self._check(seen, state)
            case Step.NOTE:
                self._announce("RolloutStarted", f"{short} is on its way to the pods", seen, state)
                self._cluster.write(state.noting(tip))
            case Step.SETTLE:
                if state.good.commit != tip:
                    self._announce(
                        "RolloutComplete",
                        f"{short} is ready in all {seen.wanted} pods",
                        seen,
                        state,
                    )
                self._cluster.write(state.settling(seen.pin))
            case Step.ADOPT:
                self._log(
                    f"{seen.pin.commit[:12]}, pinned by hand, is ready", seen, result="adopted"
                )
                self._cluster.write(state.adopting(seen.pin))
            case Step.RESPECT:
                message = (
                    f"{short} was undone by hand in favour of {seen.pin.commit[:12]}; "
                    "it is not tried again"
                )
                self._announce("RolloutUndone", message, seen, state)
                self._cluster.write(state.respecting(tip, seen.pin, message))
            case Step.REJECT_STUCK:
                self._reject_stuck(seen, state)
            case Step.PIN_BACK:
                self._code = REJECTED
                self._cluster.pin(seen, state.good)
                self._log(
                    f"pinned back to {state.good.commit[:12] or 'no commit'}",
                    seen,
                    result="pinned back",
                )

    def _check(self, seen: Observed, state: RolloutState) -> None:
        tip, short = self.tip, self.tip[:12]
        self._log(f"checking {short}", seen, result="checking")
        settings = replace(
            self._settings, sync=replace(self._settings.sync, timeout=self._sync_deadline().seconds)
        )
        verdict = evaluate(settings, tip, seen.pin)
        if verdict.rejected:
            self._code = REJECTED
            message = f"{short} is not rolled out: {verdict.rejected}"
            self._announce("RolloutRejected", message, seen, state)
            self._cluster.write(state.rejecting(tip, self._environment, "check", verdict.rejected))
            return
        self._cluster.pin(seen, Revision(tip, verdict.broken))
        self._log(f"pinned {short}", seen, result="pinned", broken=sorted(verdict.broken))

    def _reject_stuck(self, seen: Observed, state: RolloutState) -> None:
        """Reject a commit that is pinned; the next step pins the good one."""
        # Raises if the repository is unreachable: then pods cannot fetch from it either, and the
        # commit is not to blame.
        if (tip := self._source.resolve(self._sync_deadline())) != self.tip:
            self.tip = tip
            return
        if not (complaints := self._cluster.diagnose(seen)):
            # Their controller, the scheduler or the kubelet is late: the API server was away, say.
            self._log(f"{tip[:12]} is late, and no pod complains", seen, result="waiting")
            time.sleep(min(LATE_POLL, self._deadline.remaining()))
            return
        why = "; ".join(one.text for one in complaints)
        if all(one.away for one in complaints):
            raise RemoteUnreachable(f"the pods cannot get {tip[:12]}, and keep trying: {why}")
        self._code = REJECTED
        back = state.good.commit[:12] or "the state before the first rollout"
        self._announce("RolloutRolledBack", f"{tip[:12]} goes back to {back}: {why}", seen, state)
        self._cluster.write(state.rejecting(tip, self._environment, "deadline", why))

    # --- events -----------------------------------------------------------------------------------

    def _announce(self, reason: str, message: str, seen: Observed, state: RolloutState) -> None:
        """Record an Event of the Deployment, and log the same."""
        kind: Literal["Normal", "Warning"] = (
            "Normal" if reason in {"RolloutStarted", "RolloutComplete"} else "Warning"
        )
        self.told[reason] += 1
        self._log(
            message, seen, result=reason, level=logging.INFO if kind == "Normal" else logging.ERROR
        )
        self._cluster.record_event(kind, reason, message, state)

    def _log(
        self, message: str, seen: Observed, level: int = logging.INFO, **fields: object
    ) -> None:
        event(
            log,
            level,
            f"rollout: {message}",
            event="rollout",
            tip=self.tip,
            pin=seen.pin.commit or None,
            progress=seen.progress,
            **fields,
        )


def _why_resting(tip: str, seen: Observed, state: RolloutState, environment: str) -> str:
    """The reason to rest, for the log."""
    short = tip[:12]
    match seen.progress:
        case "paused":
            return "the Deployment is paused"
        case "empty" if seen.pin.commit == tip:
            return f"{short} is pinned; there are no pods"
        case "stuck" if seen.pin.commit == tip:
            return (
                f"{short} was ready in every pod once; "
                "it is not the reason why pods do not become ready now"
            )
    if state.rejects(tip, environment):
        return f"{short} was rejected and is not tried again until the ref moves: {state.message}"
    return f"{short} is rolled out"
