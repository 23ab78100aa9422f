"""The next step of a rollout: a pure function of the repository, the Deployment and the state.

A run repeats: observe, decide, take one step. Each step writes to one object, by compare-and-set,
and what it writes leads to the next one; so a run that dies anywhere, or two at once, end where one
run would have ended.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import Literal, NamedTuple

from modelsync.backoff import Backoff
from modelsync.settings import NO_REVISION, Revision

Progress = Literal["done", "under way", "stuck", "paused", "empty"]

RETRY = Backoff(first=120.0, most=3600.0)
"""Seconds until a commit is tried again that was rejected for a cause that may pass: a check takes
a minute of a processor, and pods that do not become ready take a node's room for some minutes.
"""


class Step(Enum):
    """One step of a run."""

    REST = auto()
    """Nothing is left to do until something changes."""
    WAIT = auto()
    """The pods are on their way, within the Deployment's own deadline (progressDeadlineSeconds)."""
    NOTE = auto()
    """The tip has been pinned: record that, so that a later undo by hand can be recognised."""
    SETTLE = auto()
    """The tip is ready in every pod: it is the good revision from now on."""
    ADOPT = auto()
    """Another revision than the tip was pinned by hand and is ready: it is the good one."""
    RESPECT = auto()
    """The tip was rolled out and then undone by hand: it is not tried again."""
    MEND = auto()
    """What was pinned by hand is no full hash: pin the commit that it names, or the good one."""
    ABANDON = auto()
    """What was pinned by hand did not get ready in time: pin the good one, if a pod says why."""
    CHECK = auto()
    """The tip is new: check it, then pin or reject it."""
    REJECT_STUCK = auto()
    """The tip did not get ready in time: reject it, if a pod says why."""
    PIN_BACK = auto()
    """The tip was rejected and is still pinned: pin the good one."""
    JUDGE = auto()
    """Of a canary: its commit is ready in every pod; decide over it by what pods have counted."""
    LEAVE = auto()
    """Of a canary: its commit was rejected; go back to what the stable pods serve."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A Deployment: its pin, the numbers of its pods, its conditions.

    `version`: its resourceVersion; `patience`: seconds that pods get (progressDeadlineSeconds).
    """

    pin: Revision = NO_REVISION
    version: str = ""
    wanted: int = 0
    total: int = 0
    updated: int = 0
    available: int = 0
    observed: bool = True
    timed_out: bool = False
    paused: bool = False
    patience: float = 0.0

    @property
    def progress(self) -> Progress:
        """The progress of the last change of the pod template.

        Conditions that the controller set for an earlier change are ignored.
        """
        if self.paused:
            return "paused"
        if not self.observed:
            return "under way"
        if self.wanted == self.total == self.updated == self.available:
            return "done" if self.wanted else "empty"
        return "stuck" if self.timed_out else "under way"


@dataclass(frozen=True, slots=True)
class RolloutState:
    """The state that earlier runs recorded in the ConfigMap. `version`: its resourceVersion.

    `revision`: the commit that a run pinned last; `good`: the pin that last became ready in every
    pod; `rejected`: a commit that is not tried again, for the `reason` and with the `message`
    given, in one `environment` (as in `releases.environment`; empty: in any).
    `retry`: when that commit is tried again, because its cause may pass, in ISO 8601; empty: never
    by itself. `tries`: how often it, or `revision` if that is tried again, has failed.

    Of a canary: `judged`: a commit that is done with, whatever the `outcome` was (promoted,
    dropped, or rejected in the environment `judged_in`), and `because`; `trial`: what pods had
    counted when it became ready (`canary_figures.Snapshot`).
    """

    revision: str = ""
    good: Revision = NO_REVISION
    rejected: str = ""
    environment: str = ""
    reason: str = ""
    message: str = ""
    retry: str = ""
    tries: int = 0
    judged: str = ""
    judged_in: str = ""
    outcome: str = ""
    because: str = ""
    trial: str = ""
    time: str = ""
    version: str = ""

    def rejects(self, commit: str, environment: str, now: datetime) -> bool:
        """Whether the commit was rejected in this environment, and is not to be tried again by now.

        Another image may have the libraries that it lacked.
        """
        if self.rejected != commit or self.environment not in {"", environment}:
            return False
        due = self.retry_time()
        return due is None or now < due

    def retry_time(self) -> datetime | None:
        """When the rejected commit is tried again; None: not by itself."""
        try:
            found = datetime.fromisoformat(self.retry)
        except ValueError:  # empty, or changed by hand
            return None
        return found if found.tzinfo else found.replace(tzinfo=UTC)

    def noting(self, tip: str) -> RolloutState:
        """The state after NOTE. A commit that is tried again keeps the number of its tries."""
        return replace(self._cleared(), revision=tip, tries=self._tries(tip))

    def settling(self, pin: Revision) -> RolloutState:
        """The state after SETTLE."""
        return replace(self._cleared(), good=pin)

    def adopting(self, pin: Revision) -> RolloutState:
        """The state after ADOPT."""
        return replace(self, good=pin, revision=pin.commit)

    def respecting(self, tip: str, message: str) -> RolloutState:
        """The state after RESPECT. The pin is good once it is ready: ADOPT."""
        return self.rejecting(tip, "", "undone", message)

    def pinning(self, tip: str, message: str) -> RolloutState:
        """The state in which another commit than the tip is pinned by `--pin`."""
        return self.rejecting(tip, "", "pinned", message)

    def retrying(self) -> RolloutState:
        """The state in which a commit that was rejected or undone is as if it were new."""
        lasting = self.revision if self.revision != self.rejected else ""
        return replace(self._cleared(), revision=lasting)

    def rejecting(
        self,
        tip: str,
        environment: str,
        reason: str,
        message: str,
        *,
        passing_at: datetime | None = None,
    ) -> RolloutState:
        """The state after REJECT_STUCK, or after a CHECK that the tip did not pass.

        `passing_at`: the time now, if the cause may pass: the tip is tried again, later each time.
        """
        tries = self._tries(tip) + 1
        later = passing_at + timedelta(seconds=RETRY.pause(tries)) if passing_at else None
        # Once another commit is remembered as rejected, one that was rolled back before must not
        # look like one that was undone by hand.
        rolled_back = bool(self.rejected) and self.revision == self.rejected != tip
        return replace(
            self,
            revision=self.good.commit if rolled_back else self.revision,
            rejected=tip,
            environment=environment,
            reason=reason,
            message=message[:4000],
            retry=later.isoformat(timespec="seconds") if later else "",
            tries=tries,
        )

    def is_judged(self, commit: str, environment: str) -> bool:
        """Whether a canary is done with a commit, in this environment."""
        return self.judged == commit and self.judged_in in {"", environment}

    def judging(
        self, commit: str, outcome: str, because: str, environment: str = ""
    ) -> RolloutState:
        """The state of a canary that is done with a commit: what replaces it was not undone."""
        return replace(
            self._cleared(),
            revision=commit,
            judged=commit,
            judged_in=environment,
            outcome=outcome,
            because=because[:4000],
            trial="",
        )

    def _tries(self, tip: str) -> int:
        return self.tries if tip in {self.rejected, self.revision} else 0

    def _cleared(self) -> RolloutState:
        return replace(self, rejected="", environment="", reason="", message="", retry="", tries=0)


class Look(NamedTuple):
    """One look at the Deployment and the state, and the next step that follows from them."""

    tip: str
    seen: Observed
    state: RolloutState
    step: Step


def decide(tip: str, seen: Observed, state: RolloutState, environment: str, now: datetime) -> Step:
    """The next step, where `tip` is the commit that the ref points to, `now` with a time zone."""
    if seen.progress == "paused":
        return Step.REST
    if seen.pin and not seen.pin.valid:
        return Step.MEND
    if seen.pin.commit == tip:
        return _after_pinning(tip, seen, state)
    # Without a pin nothing was undone: `kubectl replace`, for example, removes the annotation.
    if seen.pin and state.revision == tip != state.rejected:
        return Step.RESPECT
    unproven = bool(seen.pin) and seen.pin.commit != state.good.commit
    if unproven and seen.progress == "done":
        return Step.ADOPT
    if not state.rejects(tip, environment, now):
        return Step.CHECK
    return _by_hand(seen, state) if unproven else Step.REST


def _by_hand(seen: Observed, state: RolloutState) -> Step:
    """The step where the tip is not wanted, and what is pinned has not been ready yet."""
    match seen.progress:
        case "stuck" if state.good:
            return Step.ABANDON
        case "under way":
            return Step.WAIT
    return Step.REST


def _after_pinning(tip: str, seen: Observed, state: RolloutState) -> Step:
    stuck = seen.progress == "stuck"
    if state.revision != tip or (state.rejected == tip and not stuck):
        return Step.NOTE
    if state.good.commit == tip:
        # It was ready once, so the commit is not what keeps pods from getting ready now.
        return Step.SETTLE if state.rejected and state.rejected != tip else Step.REST
    if stuck and state.rejected == tip:
        # Without a good one its pods keep trying: no other commit is better, and they say why.
        return Step.PIN_BACK if state.good else Step.REST
    if stuck:
        return Step.REJECT_STUCK
    return {"done": Step.SETTLE, "empty": Step.REST}.get(seen.progress, Step.WAIT)
