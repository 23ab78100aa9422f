"""Exponential back-off with jitter: the pause before each retry."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses of `first` seconds, then twice as long each time, at most `most`.

    Up to half of a pause is left out at random ("equal jitter"), because replicas that failed
    together must not all try again together. This class neither waits nor draws random numbers.
    """

    first: float
    most: float

    def pause(self, failures: int, spread: float = 1.0) -> float:
        """Seconds to wait after so many failures in a row, from 1.

        `spread`, from 0 to 1, is drawn at random by the caller; 1 is the whole pause, 0 half of it.
        """
        whole = min(self.most, self.first * 2.0 ** min(failures - 1, 60))
        return whole * (0.5 + spread / 2)
