"""Interrupts of running calls: none leaves a lock behind that all threads need."""

from __future__ import annotations

import logging
import threading

from modelsync.inference.interrupt import (
    CallTimeout,
    handles_a_lock,
    interrupt_soon,
    logging_is_stuck,
    release_locks,
)
from tests.waiting import patient, until


def test_a_thread_that_takes_a_lock_by_hand_is_not_interrupted_there() -> None:
    """In `Condition.__enter__` or `Handler.acquire` the lock would stay taken for ever."""
    lock, ready = threading.Condition(), threading.Event()

    def in_python() -> None:
        ready.set()
        with lock:
            pass

    with lock:
        thread = threading.Thread(target=in_python, daemon=True)
        thread.start()
        assert ready.wait(patient(5))
        until(lambda: handles_a_lock(thread.ident or 0))
    thread.join(patient(5))
    assert not handles_a_lock(thread.ident or 0)


def test_an_interrupt_comes_once_the_lock_is_free() -> None:
    """The thread ends in the next line, and the lock can be taken."""
    lock, guard = threading.Condition(), threading.Lock()
    began, ended = threading.Event(), threading.Event()

    def loop() -> None:
        try:
            began.set()
            while True:
                with lock:
                    pass
        except CallTimeout:
            ended.set()

    for _ in range(20):
        began.clear()
        ended.clear()
        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        assert began.wait(patient(10))
        interrupt_soon(thread.ident or 0, guard, lambda: not ended.is_set())
        assert ended.wait(patient(10))
        thread.join(patient(5))
        assert lock.acquire(timeout=patient(5))
        lock.release()


def test_locks_of_logging_that_an_interrupt_left_taken_are_freed() -> None:
    """By the thread that holds them, once it has left logging."""
    handler = logging.StreamHandler()
    logging.root.addHandler(handler)
    try:
        left, go = threading.Event(), threading.Event()

        def interrupted() -> None:
            handler.acquire()
            handler.acquire()
            left.set()
            go.wait()
            release_locks()

        thread = threading.Thread(target=interrupted)
        thread.start()
        assert left.wait(patient(5))
        assert logging_is_stuck(0.05)
        go.set()
        thread.join(patient(5))
        assert not logging_is_stuck(patient(5))
    finally:
        logging.root.removeHandler(handler)
