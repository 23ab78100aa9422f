"""Processes that train, which are what a test says they are, and a clock that a test sets."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta


@dataclass
class Training:
    """A process that runs until it is ended."""

    arguments: tuple[str, ...]
    ended: int | None = None

    def code(self) -> int | None:
        return self.ended

    def end(self, grace: float) -> None:
        self.ended = -15 if self.ended is None else self.ended


@dataclass
class Trainings:
    """Those that were started, the newest last."""

    started: list[Training] = field(default_factory=list)

    def start(self, *arguments: str) -> Training:
        self.started.append(Training(arguments))
        return self.started[-1]

    @property
    def running(self) -> list[Training]:
        return [one for one in self.started if one.ended is None]


@dataclass
class Clock:
    """The clock on the wall, and the monotonic one beside it."""

    wall: datetime = datetime(2026, 11, 26, 1, 0, tzinfo=UTC)
    monotonic: float = 1000.0

    def __call__(self) -> datetime:
        return self.wall

    def run(self, seconds: float) -> None:
        """Both go on."""
        self.wall += timedelta(seconds=seconds)
        self.monotonic += seconds

    def jump(self, hours: float) -> None:
        """Somebody sets the clock on the wall."""
        self.wall += timedelta(hours=hours)
