"""Remembers which fitted versions have ended the process that loaded them, so that a version that
crashes when it is deserialised does not end every worker again and again.

A version that no process has loaded yet is loaded by one process alone; the others wait for what
comes of it. All of this is one small file for each model, which its processes change under a lock.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import time

from modelsync import json_text, locks
from modelsync.deadline import Deadline
from modelsync.errors import ModelBroken, SyncTimeout
from modelsync.models.types import Fault
from modelsync.models.versions import FittedVersion

MAX_DEATHS = 2
"""Processes that loading a version may end; one may have ended for another reason meanwhile.

A process that many others depend on tries only what has ended none.
"""

WINDOW = 600.0
"""Seconds after which an end is forgotten: what was to blame may have passed, such as memory."""

PATIENCE = 3.0
"""Seconds for which a process waits for another one that loads the same version for the first time.

One that crashes does so soon; one that takes longer is loaded by all at the same time.
"""

MAX_PROVED = 100
"""Versions of a model that are remembered to have been loaded."""


@dataclass(slots=True)
class _Record:
    """The content of a file: digests of versions that have been loaded, and attempts under way or
    broken off: digest, process, its start, and the time.
    """

    proved: list[str] = field(default_factory=list)
    attempts: list[tuple[str, int, str, float]] = field(default_factory=list)


class LoadAttempts:
    """The attempts of all processes, in files of `folder`; without it nothing is remembered.

    `max_deaths`: this process loads no version that has ended so many.
    """

    def __init__(self, folder: Path | None, max_deaths: int = MAX_DEATHS) -> None:
        self._folder = folder
        self._max_deaths = max_deaths

    @contextmanager
    def attempt(self, version: FittedVersion | None) -> Iterator[None]:
        """Load a version in the body of this context.

        Raises ModelBroken, before that, if loading it has ended too many processes.
        """
        if version is None or (file := self._open(version.model)) is None:
            yield
            return
        try:
            alone = self._begin(file, version)
            try:
                yield
            except BaseException:
                self._end(file, version, alone=alone, loaded=False)
                raise
            self._end(file, version, alone=alone, loaded=True)
        finally:
            os.close(file)

    def forget(self) -> None:
        """Clear what this process loads: it ends in order, which is no version's fault."""
        with suppress(OSError):
            for path in sorted(self._folder.iterdir()) if self._folder else ():
                file = locks.open_for_lock(path)
                try:
                    if locks.try_lock(file):
                        record = _read(file)
                        record.attempts = [one for one in record.attempts if one[1] != os.getpid()]
                        _write(file, record)
                finally:
                    os.close(file)

    def _open(self, model: str) -> int | None:
        """Return the file of a model; None on a full disk or a volume without locks."""
        with suppress(OSError):
            if self._folder:
                self._folder.mkdir(parents=True, exist_ok=True)
                return locks.open_for_lock(self._folder / model)
        return None

    def _begin(self, file: int, version: FittedVersion) -> bool:
        """Note the attempt; return whether the lock stays held, so that no other process tries.

        Raises ModelBroken.
        """
        held = False
        with suppress(OSError, SyncTimeout):
            locks.lock(file, deadline=Deadline(PATIENCE))
            held = True
        record, now = _read(file), time()
        record.attempts = [one for one in record.attempts if now - one[3] < WINDOW]
        deaths = [
            one for one in record.attempts if one[0] == version.sha256 and _ended(one[1], one[2])
        ]
        if len(deaths) >= self._max_deaths:
            message = (
                f"loading version {version.number} has ended its process ({len(deaths)} in the "
                f"last {WINDOW / 60:g} minutes)"
            )
            raise ModelBroken(Fault("crash", message))
        record.attempts.append((version.sha256, os.getpid(), _start_of(os.getpid()), now))
        _write(file, record)
        if held and version.sha256 in record.proved:
            locks.unlock(file)
            held = False
        return held

    def _end(self, file: int, version: FittedVersion, *, alone: bool, loaded: bool) -> None:
        """The process has survived the attempt."""
        if not alone:
            with suppress(OSError, SyncTimeout):
                locks.lock(file, deadline=Deadline(1.0))
        record = _read(file)
        mine = next(
            (one for one in record.attempts if one[:2] == (version.sha256, os.getpid())), None
        )
        if mine:
            record.attempts.remove(mine)
        if loaded:
            proved = [one for one in record.proved if one != version.sha256]
            record.proved = [*proved, version.sha256][-MAX_PROVED:]
        _write(file, record)


def _read(file: int) -> _Record:
    """Return what the file holds; a damaged one, whose writer was killed, holds nothing."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json_text.loads(os.pread(file, os.fstat(file).st_size, 0))
        tried = found["tried"]
        attempts = [(str(sha), int(pid), str(start), float(at)) for sha, pid, start, at in tried]
        return _Record([str(one) for one in found["proved"]], attempts)
    return _Record()


def _write(file: int, record: _Record) -> None:
    with suppress(OSError):  # on a full disk nothing is remembered
        content = json_text.dumps({"proved": record.proved, "tried": record.attempts})
        os.ftruncate(file, 0)
        os.pwrite(file, content, 0)


def _start_of(pid: int) -> str:
    """Return when a process began, in the kernel's words; empty if it has ended, or without /proc.

    A number alone does not identify it: another process may have it by now.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def _ended(pid: int, start: str) -> bool:
    return _start_of(pid) != start
