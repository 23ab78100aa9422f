"""A pool of threads that run jobs under a deadline; a job that hangs loses its thread.

A thread cannot be killed. At the deadline the job is answered for, a new thread takes the place of
the hung one, and `CallTimeout` is raised inside the hung one: that ends a loop in Python at once,
and a system call that blocks when it returns. The pool counts threads that stay hung; the worker
replaces itself before they exhaust the machine.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic

from modelsync.errors import DeadlineExceeded, Overloaded
from modelsync.inference.interrupt import (
    CallTimeout,
    cancel_interrupt,
    interrupt_soon,
    release_locks,
)
from modelsync.inference.threads import start_thread
from modelsync.inference.timeouts import Ticket, Timeouts
from modelsync.models.isolation.crash_report import signal_stack

log = logging.getLogger(__name__)


class PoolTask:
    """A job that waits for a thread and then runs in one.

    `work` gets the ticket and claims it before it answers; `on_expired` answers at the deadline
    instead. `name` and `fields` describe the job in the log. `thread_id` is 0 while no thread of
    the pool runs the job, `began` when one has begun to, in seconds of `monotonic`.
    """

    __slots__ = ("began", "fields", "name", "on_expired", "thread_id", "ticket", "work")

    ticket: Ticket

    def __init__(
        self,
        name: str,
        work: Callable[[Ticket], None],
        on_expired: Callable[[DeadlineExceeded], None],
        fields: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.work = work
        self.on_expired = on_expired
        self.fields = fields
        self.thread_id = 0
        self.began = 0.0


def _log_failure(job: PoolTask, error: BaseException) -> None:
    """Log an exception of a job; never raises: the thread would end and its place stay taken."""
    try:
        log.error("a call of %s failed outside the model", job.name, exc_info=error)
    except BaseException:  # noqa: BLE001  the traceback holds an exception of a model's own type
        log.error("a call of %s failed outside the model (no traceback)", job.name)


class ThreadPool:
    """Runs at most `size` jobs at a time; at most `max_queue` wait.

    Every job is answered within `timeout` seconds. `running` counts jobs.
    """

    def __init__(self, size: int, max_queue: int, timeout: float) -> None:
        self.size = size
        self.max_queue = max_queue
        self.running = 0
        self._timeouts = Timeouts(timeout)
        self._waiting: deque[PoolTask] = deque()
        self._threads = 0
        self._idle = 0
        self._given_up: set[int] = set()  # threads that may still be interrupted
        self._lost: dict[int, float] = {}  # threads that have been given up, and when they hang
        self._lock = threading.Lock()
        self._state = threading.Condition(self._lock)

    @property
    def hung(self) -> int:
        """How many threads have been given up and have not ended.

        Not those whose job has waited for most of its time, and has not run for as long as a job
        may: a pool that has too much to do does not hang.
        """
        now = monotonic()
        with self._lock:
            return sum(now >= since for since in self._lost.values())

    def submit(self, job: PoolTask) -> None:
        """Queue `job`: either its `work` answers or its `on_expired` is called, never both.

        Raises Overloaded if the queue is full, or if no thread can be started.
        """
        with self._state:
            # The queue's length alone would mislead: in a burst jobs wait for a moment although
            # threads are free.
            if len(self._waiting) + self.running >= self.size + self.max_queue:
                raise Overloaded(
                    f"{self.max_queue} predictions are waiting already; try again", retry_after=1
                )
            job.ticket = self._timeouts.start(lambda: self._expire(job))
            self._waiting.append(job)
            if self._idle >= len(self._waiting):
                self._state.notify()
            else:
                self._grow_for(job)

    def _grow_for(self, job: PoolTask) -> None:
        """Start a thread for a job that waits. Raises Overloaded if none will ever take it."""
        try:
            self._grow()
        except Overloaded:
            if not self._threads:
                self._waiting.remove(job)
                job.ticket.claim()
                raise

    def _grow(self) -> None:
        """Start a thread if there may be one more. Raises Overloaded if the system refuses it."""
        if self._threads < self.size:
            start_thread(self._serve, "modelsync-model")
            self._threads += 1

    def _serve(self) -> None:
        """Take jobs and run them, until one of them loses this thread at its deadline."""
        _stack = signal_stack()
        try:
            while self._run(self._take()):
                pass
            self._leave()
        except CallTimeout:
            self._leave()
            release_locks()
        with self._lock:  # given up while it ran: another thread has its place by now
            self._lost.pop(threading.get_ident(), None)

    def _leave(self) -> None:
        """Take back the interrupt of this thread, whose call has ended."""
        with self._lock:
            self._given_up.discard(threading.get_ident())
            cancel_interrupt(threading.get_ident())

    def _run(self, job: PoolTask) -> bool:
        """Run a job; return whether this thread still belongs to the pool.

        Raises CallTimeout, also if the job has ended just before the interrupt.
        """
        try:
            job.work(job.ticket)
        except CallTimeout:
            raise
        except BaseException as error:  # noqa: BLE001  logged below
            _log_failure(job, error)
        # The lock itself, not the condition: `Condition.__enter__` is Python code, where
        # CallTimeout could be raised after the lock is taken and before `with` would release it.
        with self._lock:
            kept = job.thread_id != 0
            if kept:
                job.thread_id = 0
                self.running -= 1
        return kept

    def _take(self) -> PoolTask:
        """Wait for a job whose deadline has not passed."""
        with self._state:
            while True:
                while not self._waiting:
                    self._idle += 1
                    self._state.wait()
                    self._idle -= 1
                job = self._waiting.popleft()
                if not job.ticket.finished:
                    job.thread_id, job.began = threading.get_ident(), monotonic()
                    self.running += 1
                    return job

    def _expire(self, job: PoolTask) -> None:
        with self._state:
            ran = job.thread_id != 0
            if ran:
                self._give_up(job)
        state = "was still running" if ran else "was still waiting for a free thread"
        timeout = self._timeouts.timeout
        log.error("%s %s after %g s", job.name, state, timeout, extra={"fields": job.fields})
        job.on_expired(DeadlineExceeded(f"no answer within {timeout:g} s: the call {state}"))

    def _give_up(self, job: PoolTask) -> None:
        """Make room for a new thread and interrupt the job's. Called with the state held.

        The thread id stays taken as long as its thread lives, so no other thread is interrupted.
        """
        thread_id, job.thread_id = job.thread_id, 0
        self._lost[thread_id] = job.began + self._timeouts.timeout
        self.running -= 1
        self._threads -= 1
        if self._waiting:
            with suppress(Overloaded):  # the next job tries again
                self._grow()
        self._given_up.add(thread_id)
        with suppress(Overloaded):  # it is not interrupted, and counts as hung
            interrupt_soon(thread_id, self._lock, lambda: thread_id in self._given_up)
