"""Samples of live requests: a share of them, with their results, on disk for drift and accuracy.

Whoever answers a request counts it, which costs a subtraction; one that is due is put aside as it
is. A thread decodes those, removes what is masked, and writes them into a new file of the spool,
which the collector reads (`monitoring.collector`). Nothing here ever fails or delays a request:
what finds no room, in memory or on the disk, is lost, and counted in the log.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from time import monotonic, time, time_ns

from modelsync.inference.codec import Codec
from modelsync.inference.gaps import Gaps
from modelsync.inference.outcome import Outcome
from modelsync.inference.sample_record import SampledRequest, line_of
from modelsync.models.types import LoadedModel
from modelsync.observability.logs import event
from modelsync.settings import Settings

log = logging.getLogger(__name__)

SPOOL = Path("samples", "spool")
"""The folder of the files that wait for the collector, in the state directory."""

SUFFIX = ".jsonl"

MAX_SPOOL = 64 * 1024**2
"""Bytes of the spool; over it samples are lost until the collector has taken some."""

MAX_PENDING, MAX_BYTES = 5_000, 8 * 1024**2
"""Requests, and bytes of them, that wait in memory."""

PAUSE = 0.5
"""Seconds for which requests gather before they are written."""

SILENCE = 60.0
"""Seconds between two lines of the log about samples that are lost."""


class Sampler:
    """Takes a share of the requests of one process, which all its threads may count.

    `left`: how many requests are not taken before the next one that is. Where every microsecond
    counts, it is counted down in place of a call of `heard`.
    """

    def __init__(self, rate: float, mask: Iterable[str], home: Path) -> None:
        self._rate = rate
        self._mask = frozenset(name.casefold() for name in mask)
        self._spool = home.absolute() / SPOOL  # models load with their folder as the current one
        self._pid = 0
        self._begin()
        self.left = self._gaps.next()

    @classmethod
    def of(cls, settings: Settings) -> Sampler | None:
        """Return the sampler of these settings; None if no request is to be taken."""
        given = settings.continuous
        if given.sample_rate <= 0:
            return None
        return cls(given.sample_rate, given.sample_mask, settings.state.home)

    def heard(
        self,
        model: LoadedModel | None,
        codec: Codec,
        request_id: str | bytes,
        payload: bytes,
        outcome: Outcome,
    ) -> None:
        """Count a request that `model` has answered, and take it if it is due."""
        if type(outcome) is bytes and model is not None:
            self.left -= 1
            if self.left < 0:
                self.take(model, codec, request_id, payload, outcome)

    def take(
        self,
        model: LoadedModel,
        codec: Codec,
        request_id: str | bytes,
        payload: bytes,
        result: bytes,
    ) -> None:
        """Put a request aside; its result is as the client gets it."""
        if self._pid != os.getpid():
            self._begin()
        self.left = self._gaps.next()
        size = len(payload) + len(result)
        if len(self._pending) >= MAX_PENDING or self._bytes + size > MAX_BYTES:
            self._lost += 1
            return
        self._bytes += size
        self._pending.append(SampledRequest(time(), model, codec, request_id, payload, result))
        if not self._wake.is_set():
            self._start_writing()

    def _begin(self) -> None:
        """Begin in this process: after a fork nothing of the parent's is ours."""
        self._pid = os.getpid()
        self._gaps = Gaps(self._rate)
        self._pending: deque[SampledRequest] = deque()
        self._bytes = self._lost = self._files = 0
        self._said = -SILENCE
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def _start_writing(self) -> None:
        self._wake.set()
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="modelsync-samples", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system starts no more threads now; the next sample tries
                self._wake.clear()
            else:
                self._thread = thread

    # --- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        stopping = threading.Event()
        while True:
            self._wake.wait()
            stopping.wait(PAUSE)
            self._wake.clear()
            self.flush()

    def flush(self) -> None:
        """Write what has been put aside; at the end of the process too."""
        if self._pid != os.getpid() or not self._lock.acquire(timeout=1.0):
            return
        try:
            lines = self._lines()
            if lines and not self._write(lines):
                self._lost += len(lines)
        except Exception as error:  # noqa: BLE001  whatever a disk does, requests are answered
            self._tell(type(error).__name__)
        finally:
            self._lock.release()
        if self._lost:
            self._tell("there was no room for them, in memory or on the disk")

    def _lines(self) -> list[bytes]:
        lines = []
        for _ in range(len(self._pending)):
            taken = self._pending.popleft()
            try:
                line = line_of(taken, self._mask)
            except Exception:  # noqa: BLE001  objects of a model's code may raise anything
                line = b""
            if line:
                lines.append(line)
            else:
                self._lost += 1
        self._bytes = 0  # not to the byte: several threads add to it, and none may drift away
        return lines

    def _write(self, lines: list[bytes]) -> bool:
        """Write a file of the spool, complete as soon as it has its name; false if it cannot be."""
        data = b"".join(lines)
        self._files += 1
        name = f"{time_ns():020d}-{self._pid}-{self._files}"
        partial = self._spool / f".{name}.tmp"
        try:
            for folder in (self._spool.parent, self._spool):
                folder.mkdir(mode=0o700, exist_ok=True)
            if _size_of(self._spool) + len(data) > MAX_SPOOL:
                return False
            number = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(number, "wb", buffering=0) as file:  # noqa: PTH123
                if file.write(data) != len(data):  # the disk is full
                    raise OSError
            partial.rename(self._spool / f"{name}{SUFFIX}")
        except OSError:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            return False
        return True

    def _tell(self, why: str) -> None:
        if monotonic() < self._said + SILENCE:
            return
        self._said = monotonic()
        said = f"{self._lost} samples of requests are lost: {why}"
        event(log, logging.WARNING, said, event="samples_lost", count=self._lost)
        self._lost = 0


def _size_of(folder: Path) -> int:
    total = 0
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # the collector has just taken it
                total += entry.stat(follow_symlinks=False).st_size
    return total
