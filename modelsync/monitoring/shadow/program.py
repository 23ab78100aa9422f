"""The process that copies predictions to the candidate, a child of the supervisor: `python -m
modelsync.monitoring.shadow.program`.

Workers hand it predictions that they have answered (`server.shadow_feed`). It asks the candidate
over a few connections, compares, and writes down what it finds. It runs no model code, and nothing
that serves waits for it: whatever finds no room is dropped and counted.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from time import monotonic

from modelsync.errors import SettingsError
from modelsync.monitoring.shadow import requests
from modelsync.monitoring.shadow.backlog import Backlog
from modelsync.monitoring.shadow.candidate import CandidateAnswer, ShadowCandidate
from modelsync.monitoring.shadow.comparison import compare, shown_answer, shown_request
from modelsync.monitoring.shadow.record import ShadowDifference, ShadowRecord, now
from modelsync.monitoring.shadow.requests import FOLDER, SOCKET, ShadowRequest
from modelsync.observability.logs import event
from modelsync.settings import Settings
from modelsync.training import child_process
from modelsync.training.stop import Stop

log = logging.getLogger("modelsync.monitoring.shadow.program")  # also when it runs as __main__

CONNECTIONS = 8
"""Requests that the candidate gets at a time: a copy must not be what overloads it."""

PERIOD = 1.0
"""Seconds between two writes of what was found."""

SILENCE = 60.0
"""Seconds between two lines of the log about a candidate that fails."""

NICE = 10
"""So that it takes no processor time from the workers."""


class ShadowCopies:
    """Copies predictions to one candidate."""

    def __init__(self, config: Settings) -> None:
        self._home = config.state.home.absolute()
        self._record = ShadowRecord(self._home, config.shadow.url)
        self._mask = frozenset(name.casefold() for name in config.continuous.sample_mask)
        self._url = config.shadow.url
        self._timeout = config.server.predict_timeout
        self._backlog = Backlog()
        self._said = -SILENCE

    def serve(self, stop: Stop) -> None:
        """Copy until the end is asked for; then what is under way is given up. Raises OSError if
        there can be no socket.
        """
        with self._listening() as listener:
            _start("shadow-accept", self._accept, listener)
            for number in range(CONNECTIONS):
                _start(f"shadow-{number}", self._ask_all)
            while not stop.wait(PERIOD):
                self._write()
        self._write()

    def _write(self) -> None:
        try:
            self._record.write()
        except OSError as error:
            self._tell(f"what was found cannot be written: {error.strerror}")

    # --- predictions come in ----------------------------------------------------------------------

    @contextmanager
    def _listening(self) -> Iterator[socket.socket]:
        (self._home / FOLDER).mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._home / SOCKET
        path.unlink(missing_ok=True)  # of a process that was killed
        with socket.socket(socket.AF_UNIX) as listener:
            with requests.address(path) as address:
                listener.bind(address)
            listener.listen()
            yield listener
            path.unlink(missing_ok=True)

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):  # it is closed
            while True:
                worker, _ = listener.accept()
                _start("shadow-worker", self._receive, worker)

    def _receive(self, worker: socket.socket) -> None:
        """Take what one worker sends, always at once; what finds no room is dropped."""
        with worker, worker.makefile("rb") as stream:
            try:
                while (message := requests.read(stream)) is not None:
                    self._take(message)
            except (OSError, ValueError, LookupError, TypeError):
                log.exception("a worker has sent what is no message")

    def _take(self, message: ShadowRequest | requests.Lost) -> None:
        if not isinstance(message, ShadowRequest):
            for model, number in message.items():
                self._record.count(model, "dropped", number)
        elif not self._backlog.put(message):
            self._record.count(message.model, "dropped")

    # --- and go out -------------------------------------------------------------------------------

    def _ask_all(self) -> None:
        candidate = ShadowCandidate(self._url, self._timeout)
        while True:
            request = self._backlog.take()
            try:
                self._compare(request, candidate.ask(request))
            except Exception:  # the edge of a request, whatever the candidate has answered
                log.exception("an answer of the candidate cannot be compared")
                self._record.count(request.model, "failed", why="it cannot be compared")

    def _compare(self, request: ShadowRequest, found: CandidateAnswer | str) -> None:
        if isinstance(found, str):
            self._fail(request.model, found)
            return
        result, said = compare(request, found, self._mask)
        if result == "failed":
            self._fail(request.model, said)
            return
        difference = self._difference(request, found, said) if result == "different" else None
        self._record.compared(request.model, result, found.seconds, difference)

    def _fail(self, model: str, why: str) -> None:
        self._record.count(model, "failed", why=why)
        self._tell(f"the candidate gives no answer to compare: {why}")

    def _difference(
        self, request: ShadowRequest, found: CandidateAnswer, said: str
    ) -> ShadowDifference:
        mask = self._mask
        return ShadowDifference(
            now(),
            request.request_id,
            said,
            request.status,
            found.status,
            found.release,
            found.version,
            shown_request(request.body, mask),
            shown_answer(request.status, request.answer, mask),
            shown_answer(found.status, found.body, mask) if found.whole else None,
        )

    def _tell(self, said: str) -> None:
        if monotonic() >= self._said + SILENCE:
            self._said = monotonic()
            event(log, logging.WARNING, said, event="shadow_failed")


def _start(name: str, work: Callable[..., None], *arguments: object) -> None:
    threading.Thread(target=work, args=arguments, name=name, daemon=True).start()


def _serve(config: Settings, stop: Stop) -> None:
    with suppress(OSError):
        os.nice(NICE)
    try:
        ShadowCopies(config).serve(stop)
    except OSError as error:
        raise SettingsError(f"nothing is copied to the candidate: {error.strerror}") from None


def main(arguments: Sequence[str] = ()) -> int:
    """Copy predictions until SIGTERM; end with the process `--parent`. Returns the exit code."""
    return child_process.run("modelsync.monitoring.shadow.program", arguments, _serve)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
