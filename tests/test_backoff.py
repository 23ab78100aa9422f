"""Pauses between tries: longer each time, bounded, spread out."""

from __future__ import annotations

import pytest

from modelsync.backoff import Backoff


def test_each_pause_is_twice_as_long_as_the_one_before_up_to_the_most() -> None:
    """5 s, 10 s, ... and at most 300 s, however often it has failed."""
    pauses = [Backoff(5, 300).pause(failures) for failures in range(1, 2000)]
    assert pauses[:7] == [5, 10, 20, 40, 80, 160, 300]
    assert set(pauses[7:]) == {300}


@pytest.mark.parametrize(("spread", "pause"), [(0.0, 2.5), (0.5, 3.75), (1.0, 5.0)])
def test_a_pause_is_shortened_by_up_to_half(spread: float, pause: float) -> None:
    """Replicas that failed together try again at different times."""
    assert Backoff(5, 300).pause(1, spread) == pause
