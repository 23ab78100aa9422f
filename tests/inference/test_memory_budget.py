"""Memory for decoded bodies: large ones wait for each other, a few of them, the rest is refused."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from modelsync.errors import Overloaded
from modelsync.inference.memory_budget import HEAVY, MAX_WAITING, MemoryBudget
from tests.waiting import until

LARGE = b"1," * HEAVY
SMALL = b"1," * 10


def test_small_bodies_never_wait() -> None:
    """Also while a large one takes all there is."""
    budget = MemoryBudget(1)
    assert budget.call(LARGE, lambda: budget.call(SMALL, lambda: budget.used)) == 1
    assert budget.used == 0


def test_what_a_call_raises_gives_its_memory_back() -> None:
    """Its body is gone."""
    budget = MemoryBudget(1)
    with pytest.raises(ZeroDivisionError):
        budget.call(LARGE, lambda: 1 // 0)
    assert budget.used == 0


def test_many_large_bodies_are_called_one_after_the_other_or_refused() -> None:
    """As many as may wait are answered, the others are refused at once."""
    budget, go = MemoryBudget(1), threading.Event()
    running: list[int] = []

    def call() -> int:
        running.append(1)
        assert go.wait(30)
        running.pop()
        return len(running)

    with ThreadPoolExecutor(MAX_WAITING + 4) as pool:
        first = pool.submit(budget.call, LARGE, call)
        until(lambda: running)
        others = [pool.submit(budget.call, LARGE, call) for _ in range(MAX_WAITING + 3)]
        until(lambda: any(one.done() for one in others))
        refused = [one for one in others if one.done()]
        go.set()
        assert first.result() == 0
        kinds = [type(one.exception()) for one in others]
    assert refused
    assert set(kinds) == {type(None), Overloaded}
    assert [one.result() for one in others if one.exception() is None] == [0] * kinds.count(
        type(None)
    )
    assert budget.used == 0
