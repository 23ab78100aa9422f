"""Chooses a share of many requests at the cost of one subtraction for each."""

from __future__ import annotations

import os
import random
from math import log as ln


class Gaps:
    """How many requests are not taken before the next one that is: each is with the probability
    `rate`, above 0. Two processes choose others.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._random = random.Random(os.urandom(8))  # noqa: S311  no secret depends on it

    def next(self) -> int:
        """Return the next of these numbers, 0 or more."""
        if self._rate >= 1:
            return 0
        return int(ln(1.0 - self._random.random()) / ln(1.0 - self._rate))
