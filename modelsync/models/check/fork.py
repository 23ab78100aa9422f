"""Forks of the check process, which run a piece of it apart, and the messages to and from them."""

from __future__ import annotations

import json
import math
import os
import select
import signal
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from modelsync import orphans
from modelsync.models.isolation import fork_guard

TICK = 0.05
"""Seconds between two looks at a fork: processes that it left behind may keep its pipe open."""

Message = dict[str, Any]


_withheld: list[int] = []


class ForkChannel:
    """Messages between a process and its fork, one line of JSON each."""

    def __init__(self, reader: int, writer: int) -> None:
        self._reader, self._writer = reader, writer
        self._buffer = bytearray()
        self._pid = os.getpid()

    def send(self, message: Message) -> None:
        """Send a message; the other side may be gone."""
        if os.getpid() != self._pid:  # a model has forked, and its child has returned to here
            os._exit(0)
        data = json.dumps(message).encode() + b"\n"
        with suppress(BrokenPipeError):
            while data:
                data = data[os.write(self._writer, data) :]

    def receive(
        self, deadline: float = math.inf, ended: Callable[[], bool] = lambda: False
    ) -> Message | None:
        """Return the next message; None if the other side has closed, has `ended`, or is out of
        time. `deadline`: a time of `time.monotonic`. Raises ValueError if it is none of ours.
        """
        seen = 0
        while (end := self._buffer.find(b"\n", seen)) < 0:
            seen = len(self._buffer)  # of megabytes of answers each byte is looked at once
            over = ended()  # then what it has written is in the pipe, and nothing else will come
            left = deadline - time.monotonic()
            wait = 0.0 if over else max(0.0, min(TICK, left))
            if not select.select([self._reader], [], [], wait)[0]:
                if over or left <= 0:
                    return None
                continue
            if not (chunk := os.read(self._reader, 1 << 16)):
                return None
            self._buffer += chunk
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        try:
            found: Message = json.loads(line)
        except ValueError:
            reason = "the model has written to a descriptor that it has not opened"
            raise ValueError(reason) from None
        return found

    def close(self) -> None:
        """Close this side."""
        for number in (self._reader, self._writer):
            with suppress(OSError):
                os.close(number)


class Fork:
    """A fork of this process that runs `job`, and then ends without any clean-up.

    `code` is its exit code (negative: the signal) once it has ended. `group`: it leads a process
    group, which ends with it.
    """

    def __init__(self, job: Callable[[ForkChannel], None], *, group: bool = False) -> None:
        self.code: int | None = None
        self._group = group
        inbox, outbox = os.pipe(), os.pipe()
        parent = os.getpid()
        self.pid = _fork()
        if not self.pid:
            # Nothing else would end a model that hangs when the check is killed.
            orphans.end_with_parent(signal.SIGKILL, parent)
            _run(job, ForkChannel(inbox[0], outbox[1]), (inbox[1], outbox[0]), group=group)
        for number in (inbox[0], outbox[1]):
            os.close(number)
        self._channel = ForkChannel(outbox[0], inbox[1])
        if group:
            with suppress(OSError):  # both sides do so: neither waits for the other
                os.setpgid(self.pid, self.pid)

    def send(self, message: Message) -> None:
        """Send a message to the fork."""
        self._channel.send(message)

    def receive(self, deadline: float) -> Message | None:
        """Return the fork's next message; None if it has ended or the deadline has passed."""
        found = self._channel.receive(deadline, self._has_ended)
        if found is None:  # a model may have closed the pipe, and go on
            self._wait(deadline)
        return found

    def end(self) -> int:
        """Kill the fork, with its group, unless it has ended; return its exit code."""
        with suppress(OSError):
            (os.killpg if self._group else os.kill)(self.pid, signal.SIGKILL)
        while not self._has_ended(os.WEXITED):
            time.sleep(TICK / 10)
        self._channel.close()
        return self.code or 0

    def wait(self, deadline: float) -> int:
        """Wait until the fork has ended by itself, not beyond the deadline; then as `end`."""
        self._wait(deadline)
        return self.end()

    def _wait(self, deadline: float) -> None:
        while not self._has_ended() and time.monotonic() < deadline:
            time.sleep(TICK / 10)

    def _has_ended(self, options: int = os.WNOHANG) -> bool:
        if self.code is None:
            try:
                pid, status = os.waitpid(self.pid, options if options == os.WNOHANG else 0)
            except ChildProcessError:  # a model has waited for all children
                self.code = 0
            else:
                if pid:
                    self.code = os.waitstatus_to_exitcode(status)
        return self.code is not None


def withhold(number: int) -> None:
    """Have no fork of this process get a descriptor: a model in it might write to it."""
    _withheld.append(number)


def _fork() -> int:
    with warnings.catch_warnings(), fork_guard.spared():
        warnings.simplefilter("ignore")  # of threads that do not survive: they are found here
        return os.fork()


def _run(
    job: Callable[[ForkChannel], None],
    channel: ForkChannel,
    others: tuple[int, int],
    *,
    group: bool,
) -> None:
    """In the fork: run the job and end."""
    try:
        if group:
            os.setpgid(0, 0)
        for number in (*others, *_withheld):
            os.close(number)
        _withheld.clear()
        job(channel)
    except BaseException as error:  # noqa: BLE001  the edge of a fork
        with suppress(BaseException):
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
        os._exit(70)
    os._exit(0)
