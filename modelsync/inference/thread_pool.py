"""Threads that call models, each call under a deadline; a call that hangs gives its slot back.

A thread cannot be killed. At the deadline the caller is answered, the slot is counted as free and
filled by a new thread, and `CallTimeout` is raised inside the old one: that ends a busy loop in
Python at once, a blocked system call when it returns. Threads that stay hung are counted; the
worker replaces itself before they eat the machine.
"""

from __future__ import annotations

import ctypes
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping

from modelsync.errors import DeadlineExceeded, Overloaded
from modelsync.inference.timeouts import Ticket, Timeouts
from modelsync.models.isolation.crash_report import signal_stack

log = logging.getLogger(__name__)


class CallTimeout(BaseException):
    """Raised inside a thread whose call passed its deadline."""


class Job:
    """One call: waiting, then running in a thread. `work` gets the ticket and claims it before it
    answers.

    `fields` are what the log tells of it beside its name.
    """

    __slots__ = ("fields", "name", "on_expired", "thread_id", "ticket", "work")

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


class ThreadPool:
    """At most `size` calls at a time, at most `max_queue` waiting; every call ends within `timeout`
    seconds.
    """

    def __init__(self, size: int, max_queue: int, timeout: float) -> None:
        self.size = size
        self.max_queue = max_queue
        self.hung = 0
        self._deadlines = Timeouts(timeout)
        self._waiting: deque[Job] = deque()
        self._threads = 0
        self._idle = 0
        self.running = 0
        self._lock = threading.Lock()
        self._state = threading.Condition(self._lock)

    def submit(self, call: Job) -> None:
        """Queue `call`: either its `work` answers or its `on_expired` is called, never both.

        Raises Overloaded where the queue is full.
        """
        with self._state:
            # Not the queue's length: in a burst calls wait a moment although threads are free.
            if len(self._waiting) + self.running >= self.size + self.max_queue:
                raise Overloaded(
                    f"{self.max_queue} predictions are waiting already; try again", retry_after=1
                )
            call.ticket = self._deadlines.start(lambda: self._expire(call))
            self._waiting.append(call)
            if self._idle >= len(self._waiting):
                self._state.notify()
            else:
                self._grow()

    def _grow(self) -> None:
        if self._threads < self.size:
            self._threads += 1
            threading.Thread(target=self._serve, name="modelsync-model", daemon=True).start()

    def _serve(self) -> None:
        """A thread's life: take a call, run it; it ends when one of its calls was given up."""
        _stack = signal_stack()
        try:
            while self._run(self._take()):
                pass
            _never_mind()
        except CallTimeout:
            pass
        with self._lock:  # given up while it ran: its slot belongs to another thread by now
            self.hung -= 1

    def _run(self, call: Job) -> bool:
        """Run a call; returns whether it kept its slot. Raises CallTimeout, also where the call has
        ended just so.
        """
        try:
            call.work(call.ticket)
        except CallTimeout:
            raise
        except BaseException:
            log.exception("a call of %s failed outside the model", call.name)
        # The lock itself: `Condition.__enter__` is Python, where CallTimeout could come between
        # taking it and `with`.
        with self._lock:
            kept = call.thread_id != 0
            if kept:
                call.thread_id = 0
                self.running -= 1
        return kept

    def _take(self) -> Job:
        with self._state:
            while True:
                while not self._waiting:
                    self._idle += 1
                    self._state.wait()
                    self._idle -= 1
                call = self._waiting.popleft()
                if not call.ticket.finished:
                    call.thread_id = threading.get_ident()
                    self.running += 1
                    return call

    def _expire(self, call: Job) -> None:
        with self._state:
            if ran := call.thread_id != 0:
                self._give_up(call)
        where = "was still running" if ran else "was still waiting for a free thread"
        log.error(
            "%s %s after %g s",
            call.name,
            where,
            self._deadlines.timeout,
            extra={"fields": call.fields},
        )
        call.on_expired(
            DeadlineExceeded(f"no answer within {self._deadlines.timeout:g} s: the call {where}")
        )

    def _give_up(self, call: Job) -> None:
        """Free the slot of a running call and interrupt its thread. Called with the state held."""
        thread_id, call.thread_id = call.thread_id, 0
        self.hung += 1
        self.running -= 1
        self._threads -= 1
        if self._waiting:
            self._grow()
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread_id), ctypes.py_object(CallTimeout)
        )


def _never_mind() -> None:
    """Take back a `CallTimeout` that the calling thread has not seen yet."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(threading.get_ident()), None)
