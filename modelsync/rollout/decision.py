"""The next step of a rollout: a pure function of the repository, the Deployment and the state.

A run repeats: observe, decide, take one step. Each step writes to one object, by compare-and-set,
and what it writes leads to the next one; so a run that dies anywhere, or two at once, end where one
run would have ended.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Literal

from modelsync.settings import NO_REVISION, Revision

Progress = Literal["done", "under way", "stuck", "paused", "empty"]


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
    CHECK = auto()
    """The tip is new: check it, then pin or reject it."""
    REJECT_STUCK = auto()
    """The tip did not get ready in time: reject it, if a pod says why."""
    PIN_BACK = auto()
    """The tip was rejected and is still pinned: pin the good one."""


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
    """

    revision: str = ""
    good: Revision = NO_REVISION
    rejected: str = ""
    environment: str = ""
    reason: str = ""
    message: str = ""
    time: str = ""
    version: str = ""

    def rejects(self, commit: str, environment: str) -> bool:
        """Whether the commit was rejected in this environment.

        Another image may have the libraries that it lacked.
        """
        return self.rejected == commit and self.environment in {"", environment}

    def noting(self, tip: str) -> RolloutState:
        """The state after NOTE."""
        return replace(self._cleared(), revision=tip)

    def settling(self, pin: Revision) -> RolloutState:
        """The state after SETTLE."""
        return replace(self._cleared(), good=pin)

    def adopting(self, pin: Revision) -> RolloutState:
        """The state after ADOPT."""
        return replace(self, good=pin, revision=pin.commit)

    def respecting(self, tip: str, pin: Revision, message: str) -> RolloutState:
        """The state after RESPECT."""
        return self.adopting(pin).rejecting(tip, "", "undone", message)

    def rejecting(self, tip: str, environment: str, reason: str, message: str) -> RolloutState:
        """The state after REJECT_STUCK, or after a CHECK that the tip did not pass."""
        return replace(
            self, rejected=tip, environment=environment, reason=reason, message=message[:4000]
        )

    def _cleared(self) -> RolloutState:
        return replace(self, rejected="", environment="", reason="", message="")


def decide(tip: str, seen: Observed, state: RolloutState, environment: str) -> Step:
    """The next step, where `tip` is the commit that the ref points to."""
    if seen.progress == "paused":
        return Step.REST
    if seen.pin.commit == tip:
        return _after_pinning(tip, seen, state)
    if state.rejects(tip, environment):
        return Step.REST
    # Without a pin nothing was undone: `kubectl replace`, for example, removes the annotation.
    if seen.pin and state.revision == tip != state.rejected:
        return Step.RESPECT
    if seen.pin and seen.pin.commit != state.good.commit and seen.progress == "done":
        return Step.ADOPT
    return Step.CHECK


def _after_pinning(tip: str, seen: Observed, state: RolloutState) -> Step:
    stuck = seen.progress == "stuck"
    if state.revision != tip or (state.rejected == tip and not stuck):
        return Step.NOTE
    if state.good.commit == tip:
        # It was ready once, so the commit is not what keeps pods from getting ready now.
        return Step.SETTLE if state.rejected and state.rejected != tip else Step.REST
    if stuck:
        return Step.PIN_BACK if state.rejected == tip else Step.REJECT_STUCK
    return {"done": Step.SETTLE, "empty": Step.REST}.get(seen.progress, Step.WAIT)
