"""Calls in threads hold nothing once they have ended."""

from __future__ import annotations

import gc
import random
import threading
import weakref
from collections.abc import Iterator
from time import monotonic, perf_counter, sleep

import pytest

from modelsync.errors import DeadlineExceeded, Overloaded
from modelsync.inference import timeouts
from modelsync.inference.thread_pool import PoolTask, ThreadPool
from modelsync.inference.timeouts import Ticket
from tests.waiting import patient, until


class Request:
    """Stands for what a call holds: a body, an answer."""


@pytest.fixture(autouse=True)
def without_collector() -> Iterator[None]:
    """What is freed here is freed because nobody holds it."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def submit(pool: ThreadPool) -> weakref.ref[Request]:
    request = Request()

    def work(ticket: Ticket) -> None:
        ticket.claim()
        assert request

    pool.submit(PoolTask("Model", work, lambda error: None))
    return weakref.ref(request)


def test_a_call_that_has_ended_is_freed_without_the_collector() -> None:
    """Its request goes at once, though its thread waits for the next call."""
    ended = submit(ThreadPool(1, 10, patient(30)))
    until(lambda: ended() is None, 10)


def test_calls_are_freed_behind_one_that_hangs() -> None:
    """A call that is watched until its deadline keeps no later call alive."""
    pool, hangs = ThreadPool(2, 10, patient(30)), threading.Event()

    def hang(ticket: Ticket) -> None:
        hangs.wait(patient(20))
        ticket.claim()

    try:
        pool.submit(PoolTask("Hangs", hang, lambda error: None))
        ended = [submit(pool) for _ in range(5)]
        until(lambda: all(one() is None for one in ended), 10)
    finally:
        hangs.set()


def test_a_burst_is_refused_only_beyond_threads_and_queue() -> None:
    """Also before the threads have woken up: what they will take does not fill the queue."""
    pool, hangs, ended = ThreadPool(3, 2, patient(30)), threading.Event(), threading.Semaphore(0)

    def work(ticket: Ticket) -> None:
        hangs.wait(patient(20))
        ticket.claim()
        ended.release()

    for _ in range(2):
        for _ in range(5):
            pool.submit(PoolTask("Model", work, lambda error: None))
        with pytest.raises(Overloaded):
            pool.submit(PoolTask("Model", work, lambda error: None))
        hangs.set()
        assert all(ended.acquire(timeout=patient(20)) for _ in range(5))
        hangs.clear()
        until(lambda: pool.running == 0, 10)


def test_calls_that_end_at_their_deadline_leave_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever is first, the call or its deadline: pool, counts and locks are as they were."""
    monkeypatch.setattr(timeouts, "TICK", 0.001)
    pool, expired = ThreadPool(8, 1000, 0.02), [0]

    def work(ticket: Ticket) -> None:
        end = perf_counter() + random.uniform(0.019, 0.023)
        while perf_counter() < end:
            sleep(0.0005)
        ticket.claim()

    def note(error: DeadlineExceeded) -> None:
        expired[0] += 1

    def ask() -> None:
        while expired[0] < 1000:
            pool.submit(PoolTask("Model", work, note))
            sleep(0.002)

    asking = threading.Thread(target=ask, daemon=True)  # which waits for ever where a lock is lost
    asking.start()
    until(lambda: not asking.is_alive(), 30)
    until(lambda: (pool.hung, pool.running) == (0, 0), 10)


@pytest.mark.parametrize("waits", [True, False])
def test_a_call_that_has_waited_for_its_turn_does_not_hang_at_once(waits: bool) -> None:
    """At its deadline it loses its thread, as any, but is no reason to replace the worker until it
    has run for as long as a call may.
    """
    timeout = patient(0.7)
    pool, ends, expired = ThreadPool(1, 10, timeout), threading.Event(), threading.Event()
    turn = [monotonic()]  # when it can begin to run, at the earliest

    def work(ticket: Ticket) -> None:
        ends.wait(patient(20))
        ticket.claim()

    def before(ticket: Ticket) -> None:
        sleep(timeout * 0.3)
        turn.append(monotonic())
        ticket.claim()

    try:
        if waits:
            pool.submit(PoolTask("Before", before, lambda error: None))
        pool.submit(PoolTask("Model", work, lambda error: expired.set()))
        assert expired.wait(patient(20))
        until(lambda: pool.hung == 1, 10)
        assert monotonic() >= turn[-1] + timeout
    finally:
        ends.set()
    until(lambda: not pool.hung, 10)
