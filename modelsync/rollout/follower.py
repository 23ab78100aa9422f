"""`modelsync rollout --follow`: rolls out each new commit within seconds, for ever.

It takes the same steps as the CronJob's runs, and both at once are safe: each step is a
compare-and-set of what was seen. One thread takes them, so that SIGTERM ends a check with all that
it has started; another one answers HTTP.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Sequence
from time import monotonic
from typing import NoReturn

from modelsync.deadline import Deadline
from modelsync.observability.logs import event
from modelsync.rollout import follower_server
from modelsync.rollout.canary import CanaryRun
from modelsync.rollout.job import RolloutRun
from modelsync.rollout.track import PATIENCE, Track
from modelsync.settings import Settings

IDLE = 3600.0
"""Seconds between two rounds of a follower that has nothing to follow."""

SINGLE_TRIES = ("modelsync.cluster.api", "modelsync.git.retries")
"""Loggers that tell of each try of a call; `LastingFailure` tells of what lasts for hours."""

log = logging.getLogger(__name__)


class Follower:
    """Asks each of its tracks for its next step when that is due, or when it is woken.

    `tracks`: the first one is that of the Deployment that clients reach. `ending`: SIGTERM came.
    """

    def __init__(self, tracks: Sequence[Track]) -> None:
        self.tracks = tracks
        self.ending = False
        self._asked = 0
        self._forced = False
        self._asking = threading.Lock()
        self._woken = threading.Event()

    def ask(self, *, forced: bool = False) -> int:
        """Have the refs read now, from any thread; returns the number of this request.

        `forced`: a commit that was rejected is tried again.
        """
        with self._asking:
            self._asked += 1
            self._forced = self._forced or forced
            number = self._asked
        self._woken.set()
        return number

    def settled(self, number: int) -> bool:
        """Whether nothing is left to do of what the request found."""
        views = [track.view for track in self.tracks]
        return all(view.handled >= number and view.settled for view in views)

    def run(self) -> None:
        """Follow until `end`."""
        while not self.ending:
            self.advance()
            due = min((track.due for track in self.tracks), default=monotonic() + IDLE)
            self._woken.wait(due - monotonic())

    def end(self) -> NoReturn:
        """End, from a signal handler: whatever the thread of `run` does ends by SystemExit, and the
        loop too if that is lost in code that lets no exception pass.
        """
        self.ending = True
        self._woken.set()
        sys.exit(0)

    def advance(self) -> None:
        """Let each track whose time has come take one step."""
        self._woken.clear()
        with self._asking:
            asked, forced, self._forced = self._asked, self._forced, False
        for track in self.tracks:
            if asked > track.view.handled or monotonic() >= track.due:
                track.advance(asked, forced=forced)


def follow(settings: Settings) -> None:
    """Follow the repository until SIGTERM. Raises SettingsError."""
    for name in SINGLE_TRIES if settings.logs.level != "debug" else ():
        logging.getLogger(name).setLevel(logging.WARNING)
    follower = Follower(tracks(settings))
    signal.signal(signal.SIGTERM, lambda *_: follower.end())
    if not follower.tracks:  # the manifests in k8s/ before they are edited
        message = "rollout: gitPath is not set: nothing to follow"
        event(log, logging.INFO, message, event="rollout", result="resting")
    with follower_server.serving(settings, follower):
        follower.run()


def tracks(settings: Settings) -> list[Track]:
    """What there is to follow. Raises SettingsError."""
    if settings.standalone:
        return []
    stable = RolloutRun(settings, Deadline(PATIENCE))
    found = [Track(settings, stable)]
    if settings.canary.ref:
        canary = CanaryRun(settings, Deadline(PATIENCE), stable)
        found.append(Track(canary.settings, canary))
    return found
