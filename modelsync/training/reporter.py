"""Reports to the store, every few seconds, that a job lives, how far it is, and what it prints.

A thread of its own, so that neither a database that is away nor a model that prints without end
holds up the job.
"""

from __future__ import annotations

import codecs
import contextlib
import logging
import threading
from pathlib import Path
from typing import Literal, Self

from modelsync.errors import ModelsyncError, StoreUnavailable
from modelsync.fitting.messages import Progress
from modelsync.observability.redaction import LONGEST, redacted
from modelsync.store import Store
from modelsync.store.records import Job

log = logging.getLogger(__name__)

BEAT = 2.0
"""Seconds between two reports. After `trainer.SILENCE` without one the job counts as lost."""

MAX_UNSENT = 256 * 1024
"""Characters of output that wait for the store; what comes on top is left out, and that said."""

MAX_LINE = 8 * 1024
"""Characters of a line without an end that are stored as they are."""

Refusal = Literal["", "cancelled", "taken"]
"""Why a job must end: a client has asked for it, or its row is another process's by now."""


class Reporter:
    """The reports of one running job, whose row is claimed by `owner`."""

    def __init__(self, store: Store, job: Job, owner: str) -> None:
        self.refused: Refusal = ""
        self._store = store
        self._job = job
        self._owner = owner
        self._progress = Progress()
        self._checkpoint: Progress | None = None
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._unsent = ""
        self._left_out = 0
        self._guard = threading.Lock()  # of what is unsent
        self._sending = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def __enter__(self) -> Self:
        """Report from now on, until the `with` ends."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.flush()

    def output(self, chunk: bytes) -> None:
        """The process has printed this."""
        text = self._decode(chunk)
        with self._guard:
            room = MAX_UNSENT - len(self._unsent)
            self._unsent += text[:room]
            self._left_out += max(0, len(text) - room)

    def progress(self, progress: Progress) -> None:
        """The process has come so far."""
        self._progress = progress
        if progress.checkpoint:
            self._checkpoint = progress

    def flush(self) -> None:
        """Store what is left of the output, unless the store is away."""
        with contextlib.suppress(StoreUnavailable):
            self._send_log(all_of_it=True)

    def _run(self) -> None:
        while not self._ended.wait(BEAT):
            try:
                self._report()
            except StoreUnavailable:
                continue  # the job goes on; whoever has to end it says so later
            except ModelsyncError as error:
                log.error("job %s: %s", self._job.id, error)
            except Exception:  # the edge of a thread
                log.exception("job %s cannot be reported", self._job.id)

    def _report(self) -> None:
        now = self._progress
        lives = self._store.catalog.heartbeat(
            self._job.id,
            self._owner,
            progress=now.progress,
            rows=now.rows,
            message=redacted(now.message),
        )
        if not lives and not self._ended.is_set():
            row = self._store.catalog.job(self._job.model, self._job.id)
            self.refused = "cancelled" if row.cancelling else "taken"
        self._send_log()
        self._keep_checkpoint()

    def _send_log(self, *, all_of_it: bool = False) -> None:
        """Store the lines that are complete: a secret must not stand in two pieces."""
        with self._sending:
            with self._guard:
                end = len(self._unsent) if all_of_it else self._unsent.rfind("\n") + 1
                if not end and len(self._unsent) > MAX_LINE:
                    end = len(self._unsent)
                text, self._unsent = self._unsent[:end], self._unsent[end:]
                left_out, self._left_out = self._left_out, 0
            said = f"\n[{left_out} characters were left out]\n" if left_out else ""
            if not text and not said:
                return
            try:
                self._store.catalog.log(self._job.id, _redacted(text) + said)
            except StoreUnavailable:
                with self._guard:
                    self._unsent = text + self._unsent
                    self._left_out += left_out
                raise

    def _keep_checkpoint(self) -> None:
        """Store the newest checkpoint; the process makes the next one when its file is gone."""
        if not (made := self._checkpoint):
            return
        file = Path(made.checkpoint)
        sha256 = self._store.blobs.put(file)
        self._store.catalog.checkpoint(self._job.id, self._owner, sha256, made.rows or 0)
        self._checkpoint = None
        file.unlink(missing_ok=True)


def _redacted(text: str) -> str:
    """Redact a text of any length, in blocks of whole lines."""
    blocks, block = [], ""
    for line in text.splitlines(keepends=True):
        if block and len(block) + len(line) > LONGEST:
            blocks.append(block)
            block = ""
        block += line
    return "".join(redacted(one) for one in [*blocks, block])
