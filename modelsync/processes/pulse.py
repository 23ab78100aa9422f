"""The pulse of the workers: tells a worker whose interpreter is held by a model from a busy one.

A thread of each worker writes the time into shared memory, ten times a second. It cannot while a
function in C computes without giving up the interpreter (a regular expression, the power of large
integers): then nothing in the worker runs, and only the master can end it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Protocol

BEAT = 0.1
"""Seconds between two beats."""

POLL = 0.25
"""Seconds between two looks of the master."""

ALLOWANCE = 0.5
"""Seconds beyond the deadline of a call after which a silent worker is ended."""

STALE = 1.0
"""Seconds of silence from which on the master looks into the causes."""

GAP = 1.5
"""Seconds between two looks of the master which say that the master itself did not run."""

NOT_BEATING = 0.0


class Pulses:
    """The time of each worker's last beat, in monotonic seconds; made before the fork."""

    def __init__(self, workers: int) -> None:
        self._times = memoryview(mmap.mmap(-1, 8 * workers)).cast("d")

    def start(self, worker_index: int) -> None:
        """In a worker: beat from now on."""
        self._beat(worker_index)
        threading.Thread(
            target=self._beat_for_ever, args=[worker_index], name="modelsync-pulse", daemon=True
        ).start()

    def last(self, worker_index: int) -> float:
        """Return the time of a worker's last beat, `NOT_BEATING` if it does not serve yet."""
        return self._times[worker_index]

    def forget(self, worker_index: int) -> None:
        """A worker has ended; the next one with its index has not begun to beat."""
        self._times[worker_index] = NOT_BEATING

    def _beat(self, worker_index: int) -> None:
        self._times[worker_index] = monotonic()

    def _beat_for_ever(self, worker_index: int) -> None:
        while True:
            sleep(BEAT)
            self._beat(worker_index)


@dataclass(slots=True)
class Silence:
    """A worker that has not beaten since `since`, of which it had an excuse for `excused` seconds.

    `waits` and `runs` are the seconds that each of its threads has waited for a processor and has
    run, as of the last and as of the first look.
    """

    since: float
    excused: float = 0.0
    waits: dict[int, float] = field(default_factory=dict)
    runs: dict[int, float] = field(default_factory=dict)


class Watched(Protocol):
    """What the watch needs of a worker; `deaf` is for how many seconds it was silent when the watch
    ended it, 0 if it has not.
    """

    worker_index: int
    deaf: float


class PulseWatch:
    """The master's view of the pulses; `timeout` is the deadline of a call in seconds.

    A machine that was suspended or is overloaded, a worker that is stopped or in a debugger: the
    time for which that lasts is excused. A false alarm would be worse than a late one.
    """

    def __init__(self, pulses: Pulses, timeout: float) -> None:
        self._pulses = pulses
        self._limit = timeout + ALLOWANCE
        self._silences: dict[int, Silence] = {}
        self._looked = 0.0

    def end_deaf(self, workers: Mapping[int, Watched], now: float) -> None:
        """End the workers that have been silent too long; to be called every `POLL` seconds.

        By SIGABRT, on which a worker writes its crash report, and by SIGKILL at the next call.
        `workers` are by pid, `now` is in monotonic seconds.
        """
        elapsed = now - self._looked if self._looked else 0.0
        self._looked = now
        for pid, worker in workers.items():
            if worker.deaf:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                continue
            silent = self._look(pid, worker.worker_index, now, elapsed)
            if silent > self._limit:
                worker.deaf = silent
                self._abort(pid)

    def forget(self, pid: int, worker_index: int) -> None:
        """A worker has ended."""
        self._silences.pop(pid, None)
        self._pulses.forget(worker_index)

    def _look(self, pid: int, worker_index: int, now: float, elapsed: float) -> float:
        """Return for how many seconds a worker has been silent without an excuse."""
        beat = self._pulses.last(worker_index)
        silence = self._silences.get(pid)
        if beat == NOT_BEATING or now - beat < STALE:
            self._silences.pop(pid, None)
            return 0.0
        if silence is None or silence.since != beat:
            self._silences[pid] = silence = Silence(beat)
            silence.runs, silence.waits = _schedule(pid)
            silence.excused = elapsed if elapsed > GAP else 0.0
        else:
            _, waits = _schedule(pid)
            silence.excused += _excuse(pid, elapsed, silence.waits, waits)
            silence.waits = waits
        return now - beat - silence.excused

    def _abort(self, pid: int) -> None:
        """Send SIGABRT to the thread that has run all the time: it holds the interpreter.

        `faulthandler` reports the thread that gets the signal as the current one.
        """
        runs, _ = _schedule(pid)
        before = self._silences[pid].runs if pid in self._silences else {}
        ran = {thread: seconds - before.get(thread, 0.0) for thread, seconds in runs.items()}
        busiest = max(ran, key=lambda thread: ran[thread], default=pid)
        _signal_thread(pid, busiest if ran.get(busiest, 0.0) > STALE / 10 else pid)


def _excuse(pid: int, elapsed: float, before: dict[int, float], after: dict[int, float]) -> float:
    """Return for how many of the last `elapsed` seconds a worker could not have beaten."""
    if elapsed > GAP or _state(pid) in "TtD":  # stopped, traced, or waiting for a disk
        return elapsed
    return min(elapsed, max((now - before.get(id, now) for id, now in after.items()), default=0.0))


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return "?"


def _schedule(pid: int) -> tuple[dict[int, float], dict[int, float]]:
    """Return for each thread the seconds that it has run, and has waited for a processor."""
    runs, waits = {}, {}
    with suppress(OSError, ValueError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            ran, waited, _ = (thread / "schedstat").read_text().split()
            runs[int(thread.name)], waits[int(thread.name)] = int(ran) / 1e9, int(waited) / 1e9
    return runs, waits


def _signal_thread(pid: int, thread: int) -> None:
    tgkill = getattr(ctypes.CDLL(None), "tgkill", None)  # glibc's, since 2.30
    if tgkill is None or tgkill(pid, thread, signal.SIGABRT) != 0:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGABRT)
