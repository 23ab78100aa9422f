"""The pulse of a runner process: a page of memory that it shares with its master and the workers.

The runner writes when it last ran Python code and which models it is calling; the master writes how
often it has started it. A runner that does not beat is deaf: code in C holds the interpreter.
"""

from __future__ import annotations

import mmap
import os
import struct

SIZE = mmap.PAGESIZE
_BEAT = struct.Struct("<d")
_STATE = struct.Struct("<II")  # the number of its start, and that of the start which is up
_STATE_AT = _BEAT.size
_CALLS_AT = _STATE_AT + _STATE.size

MAX_MODELS = SIZE - _CALLS_AT
"""Models of one runner whose calls are seen here."""


class Pulse:
    """One page, of the file with this descriptor. A double or integer of it is written at once."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._page = mmap.mmap(fd, SIZE)

    @classmethod
    def create(cls) -> Pulse:
        """Make a page of zeros, in memory."""
        fd = os.memfd_create("modelsync-pulse")
        os.ftruncate(fd, SIZE)
        return cls(fd)

    @property
    def beat(self) -> float:
        """When the runner last ran Python code, in monotonic seconds."""
        return float(_BEAT.unpack_from(self._page)[0])

    @beat.setter
    def beat(self, now: float) -> None:
        _BEAT.pack_into(self._page, 0, now)

    @property
    def starts(self) -> int:
        """How often the runner has been started."""
        return int(_STATE.unpack_from(self._page, _STATE_AT)[0])

    @property
    def up(self) -> bool:
        """Whether the process that was started last has loaded its models."""
        started, serving = _STATE.unpack_from(self._page, _STATE_AT)
        return bool(started == serving != 0)

    def start(self) -> None:
        """The master starts the runner, again; it is not up yet."""
        self._page[_CALLS_AT:] = bytes(MAX_MODELS)
        _STATE.pack_into(self._page, _STATE_AT, self.starts + 1, 0)

    def serve(self) -> None:
        """The runner has loaded its models: it is up."""
        _STATE.pack_into(self._page, _STATE_AT, self.starts, self.starts)

    def end(self) -> None:
        """The runner has ended: it is not up."""
        _STATE.pack_into(self._page, _STATE_AT, self.starts, 0)

    def count(self, model: int, calls: int) -> None:
        """`calls` more calls run of the model with this number, or fewer."""
        if model < MAX_MODELS:
            at = _CALLS_AT + model
            self._page[at] = max(0, min(255, self._page[at] + calls))

    def calling(self) -> list[int]:
        """The numbers of the models that are being called: the suspects of a crash."""
        return [model for model, calls in enumerate(self._page[_CALLS_AT:]) if calls]
