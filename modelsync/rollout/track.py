"""A track: one Deployment that follows one ref, a step at a time, through every failure."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple

from modelsync import orphans
from modelsync.backoff import Backoff
from modelsync.clock import now
from modelsync.deadline import Deadline
from modelsync.observability.logs import event
from modelsync.rollout import by_hand
from modelsync.rollout.decision import Look, Step
from modelsync.rollout.job import POLL, RolloutRun
from modelsync.rollout.lasting_failure import LastingFailure
from modelsync.settings import Settings

PATIENCE = 20.0
"""Seconds in which the repository, or the API server, must have answered one look."""

REST = 10.0
"""Seconds between two looks at the cluster while there is nothing to do, at most."""

MOST_PAUSE = 60.0
"""Seconds between two tries of one that does not answer; a request asks it at once."""

TAGS = 300.0
"""Seconds after which the tags of the repository are given to versions that are new since."""

BOUNDS = (2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0)
"""Seconds: upper bounds of `TrackCounts.buckets`."""

log = logging.getLogger(__name__)


class Problem(NamedTuple):
    """Why something does not answer, since when (ISO 8601)."""

    reason: str
    message: str
    since: str


@dataclass(frozen=True, slots=True)
class TrackView:
    """What a track knows, replaced as a whole, so that any thread may read it.

    `look` is the last one at the cluster. `handled` is the number of the last request for which
    both the ref and the cluster have been looked at. `resolved` is when the ref was last read,
    `tried` when that was last tried, in ISO 8601. `repository` is why the ref cannot be read,
    `step` why the next step cannot be taken.
    """

    look: Look | None = None
    handled: int = 0
    resolved: str = ""
    tried: str = ""
    repository: Problem | None = None
    step: Problem | None = None

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do, or to be done now."""
        resting = self.look is not None and self.look.step is Step.REST
        return resting or bool(self.repository or self.step)


@dataclass(slots=True)
class TrackCounts:
    """What a track has done since it began, for metrics.

    `polls` counts reads of the ref by result. `rollouts` is the number of commits that became ready
    in all pods, `seconds` the sum of the times since each was first seen, `buckets` how many took
    at most each of BOUNDS.
    """

    polls: Counter[str] = field(default_factory=Counter)
    buckets: list[int] = field(default_factory=lambda: [0] * len(BOUNDS))
    seconds: float = 0.0
    rollouts: int = 0

    def arrived(self, seconds: float) -> None:
        """A commit is ready in all pods, so long after it was first seen."""
        self.seconds += seconds
        self.rollouts += 1
        self.buckets = [
            count + (seconds <= bound) for count, bound in zip(self.buckets, BOUNDS, strict=True)
        ]


class Track:
    """Takes the steps of `run` for ever; `due` is when the next one is, on the monotonic clock.

    `view` and `counts` are for other threads, which only read them.
    """

    def __init__(self, settings: Settings, run: RolloutRun) -> None:
        self.settings = settings
        self.run = run
        self.view = TrackView()
        self.counts = TrackCounts()
        self.due = 0.0
        self._handled = 0
        self._forced = False
        self._ref_due = self._tags_due = self._first_seen = 0.0
        backoff = Backoff(first=min(settings.rollout.poll, MOST_PAUSE), most=MOST_PAUSE)
        self._repository = LastingFailure("the repository answers", backoff)
        self._next_step = LastingFailure("the next step is taken", backoff)
        self._resolved = self._tried = self._why = ""

    def advance(self, asked: int, *, forced: bool = False) -> None:
        """Read the ref if that is due, or if request `asked` is new; then take the next step.

        `forced`: a commit that was rejected is tried again. No failure ends the track; SystemExit
        passes, and ends what a check has started.
        """
        self._forced = self._forced or forced
        if asked > self._handled or monotonic() >= self._ref_due:
            self._ref_due = monotonic() + self._read_ref(anew=asked > self._handled)
            self._handled = asked
        pause = self._step() if self.run.tip else self.settings.rollout.poll
        self.due = min(monotonic() + pause, self._ref_due)

    # --- the repository ---------------------------------------------------------------------------

    def _read_ref(self, *, anew: bool) -> float:
        """Read the ref, and now and then its tags; returns the seconds until the next time."""
        before, self._tried = self.run.tip, now()
        self.run.renew(Deadline(PATIENCE))
        try:
            self.run.resolve()
            if anew or self.run.tip != before or monotonic() >= self._tags_due:
                self._tags_due = monotonic() + TAGS
                self.run.apply_tags()
        except Exception as error:  # noqa: BLE001  the edge of a loop: `LastingFailure` logs it
            pause = self._repository.begun(error)
            self.counts.polls[self._repository.reason] += 1
            self._publish(self.view.look)
            return pause
        self._repository.ended()
        self.counts.polls["ok"] += 1
        self._resolved = self._tried
        if (tip := self.run.tip) != before:
            self._first_seen = monotonic()
            message = f"rollout: the ref points to {tip[:12]}"
            event(log, logging.INFO, message, event="rollout", result="seen", tip=tip)
        return self.settings.rollout.poll

    # --- the cluster ------------------------------------------------------------------------------

    def _step(self) -> float:
        """Take the next step; returns the seconds until the one after it."""
        try:
            self.run.renew(Deadline(PATIENCE))
            if self._forced:
                by_hand.retry(self.run)
                self._forced = False
            look = self.run.look()
            if look.step is Step.REST:
                pause = self._rest(look)
            elif look.step is Step.WAIT:
                pause = POLL
            else:
                self._publish(look)
                pause = self._take(look)
        except Exception as error:  # noqa: BLE001  the edge of a loop: `LastingFailure` logs it
            pause = self._next_step.begun(error)
            self._publish(self.view.look)
            return pause
        self._next_step.ended()
        self._publish(look)
        return pause

    def _rest(self, look: Look) -> float:
        why = self.run.why_resting(look)
        if why != self._why:
            self._why = why
            event(log, logging.INFO, f"rollout: {why}", event="rollout", result="resting")
        return min(self.settings.rollout.poll, REST)

    def _take(self, look: Look) -> float:
        complete = self.run.told["RolloutComplete"]
        self.run.renew(Deadline(self.settings.rollout.timeout))
        with orphans.none_left():  # a check's model may have started a daemon
            taken = self.run.take(look)
        if self.run.told["RolloutComplete"] > complete:
            self.counts.arrived(monotonic() - self._first_seen)
        return 0.0 if taken else POLL

    def _publish(self, look: Look | None) -> None:
        self.view = TrackView(
            look=look,
            handled=self._handled,
            resolved=self._resolved,
            tried=self._tried,
            repository=_problem(self._repository),
            step=_problem(self._next_step),
        )


def _problem(trouble: LastingFailure) -> Problem | None:
    found = Problem(trouble.reason, trouble.message, trouble.since)
    return found if trouble.reason else None
