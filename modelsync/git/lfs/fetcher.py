"""Fetches Git LFS objects: a few at a time, each tried again, none in the way of the others."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from modelsync.deadline import Deadline
from modelsync.errors import ObjectUnavailable, SyncError, SyncTimeout
from modelsync.files import storage
from modelsync.git.lfs import batch
from modelsync.git.lfs.batch import Answers
from modelsync.git.lfs.connection import NO_TIME, LfsConnection
from modelsync.git.lfs.download import download
from modelsync.git.lfs.endpoint import LfsEndpoint
from modelsync.git.lfs.objects import LfsObjects
from modelsync.git.retries import RETRY
from modelsync.models.lfs_pointer import LfsPointer
from modelsync.resources import starting

AT_ONCE = 4
"""Objects that are downloaded at the same time."""

GRACE = 0.5
"""Seconds after the deadline in which requests end that have waited until then."""

ATTEMPTS = 4
"""Tries of one request."""

TOKEN_LIFETIME = 60.0
"""Seconds for which a token counts that a host has given over ssh; some live for minutes."""

T = TypeVar("T")
Failures = dict[LfsPointer, ObjectUnavailable]

_log = logging.getLogger(__name__)


class LfsFetcher:
    """Fetches objects of one server into the store, until the deadline.

    `find_endpoint` tells where the server is. `secrets` are left out of messages.
    """

    def __init__(
        self,
        objects: LfsObjects,
        connection: LfsConnection,
        find_endpoint: Callable[[], LfsEndpoint],
        secrets: tuple[str, ...],
        deadline: Deadline,
    ) -> None:
        self._objects = objects
        self._connection = connection
        self._find_endpoint = find_endpoint
        self._secrets = secrets
        self._deadline = deadline
        self._endpoint: tuple[LfsEndpoint, float] | None = None
        self._lock = threading.Lock()
        self._away: ObjectUnavailable | None = None

    def fetch(self, pointers: Sequence[LfsPointer]) -> Failures:
        """Fetch objects in this order; returns those that cannot be had, with the reason.

        Raises SyncError if this machine fails.
        """
        failures: Failures = dict.fromkeys(pointers, ObjectUnavailable(NO_TIME))
        for start in range(0, len(pointers), batch.OBJECTS):
            some = pointers[start : start + batch.OBJECTS]
            answers: Answers = {}
            try:
                _side_by_side([some], partial(self._find, answers), self._deadline)
            except ObjectUnavailable as error:
                return failures | dict.fromkeys(pointers[start:], error)
            if not answers:
                break
            _side_by_side(some, partial(self._fetch_one, answers, failures), self._deadline)
        return dict(failures)  # which threads that are late may still change

    def _find(self, answers: Answers, pointers: Sequence[LfsPointer]) -> None:
        """Note in `answers` where objects can be had. Raises ObjectUnavailable."""
        answers |= self._tried(partial(self._ask, pointers))

    def _fetch_one(self, found: Answers, failures: Failures, pointer: LfsPointer) -> None:
        """Download one object from where it was found; note in `failures` how that ended."""
        answers = [found[pointer]]

        def action() -> None:
            if self._away:
                raise self._away
            # Each further try asks for a new link: the old one may have expired.
            answer = answers.pop() if answers else self._ask([pointer])[pointer]
            if isinstance(answer, ObjectUnavailable):
                raise answer
            with storage():
                file = self._objects.incomplete(pointer)
                download(self._connection, answer, pointer, file)
                self._objects.admit(pointer, file)

        try:
            self._tried(action)
            del failures[pointer]
        except ObjectUnavailable as error:
            failures[pointer] = error
            if error.away:
                self._away = ObjectUnavailable(str(error))

    def _ask(self, pointers: Sequence[LfsPointer]) -> Answers:
        """Raises ObjectUnavailable."""
        with self._lock:
            known = self._endpoint
            if known is None or time.monotonic() - known[1] > TOKEN_LIFETIME:
                try:
                    known = self._find_endpoint(), time.monotonic()
                except SyncTimeout:
                    raise ObjectUnavailable(NO_TIME) from None
                except SyncError as error:
                    raise ObjectUnavailable(str(error), away=error.transient) from None
                self._endpoint = known
        logins = tuple(value.rpartition(" ")[2] for value in known[0].credentials.values())
        return batch.request(self._connection, known[0], pointers, (*self._secrets, *logins))

    def _tried(self, action: Callable[[], T]) -> T:
        """Call `action`, and again where that may help. Raises ObjectUnavailable after that."""
        for failures in range(1, ATTEMPTS + 1):
            try:
                return action()
            except ObjectUnavailable as error:
                spread = random.random()  # noqa: S311 - spreads replicas out
                wait = max(error.pause, RETRY.pause(failures, spread))
                if not error.tries_again or failures == ATTEMPTS:
                    raise
                if wait >= self._deadline.remaining():
                    raise
                _log.info("Git LFS: trying again in %.1f s: %s", wait, error)
                time.sleep(wait)
        raise AssertionError("unreachable")


def _side_by_side(items: Sequence[T], action: Callable[[T], None], deadline: Deadline) -> None:
    """Call `action` for each, `AT_ONCE` at the same time; raises what one of them raises.

    At the deadline it leaves the others alone: a server may send each byte just in time. Its
    threads are daemons: a process that is to end does not wait for a server.
    """
    left: Iterator[T] = iter(items)
    lock = threading.Lock()
    errors: list[BaseException] = []

    def work() -> None:
        while not errors:
            with lock:
                item = next(left, None)
            if item is None:
                return
            try:
                action(item)
            except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
                errors.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(AT_ONCE, len(items)))]
    for thread in threads:
        with starting("a thread"):
            thread.start()
    for thread in threads:
        thread.join(deadline.remaining() + GRACE)
    if errors:
        raise errors[0]
