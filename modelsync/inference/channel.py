"""The channel of one process to one runner: connects with the first frame, and again when lost.

Everything happens in one event loop: that of the worker, or one in a thread of its own where the
process has none. So nothing here needs a lock, and nothing here waits.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from concurrent.futures import Future
from time import monotonic

from modelsync.errors import DeadlineExceeded, ModelUnavailable
from modelsync.inference.async_runner import start_loop
from modelsync.inference.dispatch import Frame
from modelsync.inference.messages import LOAD, RELEASE, Call
from modelsync.inference.model_runner import RawOutcome
from modelsync.inference.pulse import Pulse
from modelsync.inference.runner_connection import RETRY, Order, RunnerConnection

STARTS_AGAIN = "its process has ended and is started again"

Version = tuple[int, int]
"""The number of a model in its runner, and that of a fitted version of it, 0 for none."""


class RunnerChannel:
    """The connection to the runner named `runner`, which listens at `address`, a Unix socket.

    `load_limit`: the seconds that it has to load a version.
    """

    def __init__(self, runner: str, address: str, pulse: Pulse, load_limit: float) -> None:
        self.runner = runner
        self._load_limit = load_limit
        self._address = address
        self._pulse = pulse
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._protocol: RunnerConnection | None = None
        self._lock = threading.Lock()
        self._held: dict[Version, bytes] = {}
        self._holders: Counter[Version] = Counter()

    @property
    def up(self) -> bool:
        """Whether the runner has loaded its models."""
        return self._pulse.up

    @property
    def restarts(self) -> int:
        """How often the runner was started again."""
        return max(0, self._pulse.starts - 1)

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Use the event loop of the calling thread from now on."""
        self._loop, self._thread = loop, threading.get_ident()

    def hold(self, version: Version, order: bytes) -> None:
        """Have the runner keep a version loaded, also one that is started again.

        `order` says how it is loaded. Whoever holds it calls `release` at last.
        """
        with self._lock:
            self._held[version] = order
            self._holders[version] += 1

    def release(self, version: Version) -> None:
        """Let the runner forget a version, if nobody else here holds it."""
        with self._lock:
            self._holders[version] -= 1
            if self._holders[version] > 0:
                return
            del self._held[version], self._holders[version]
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._release, version)

    def load(self, name: str, version: Version, order: bytes) -> bytes:
        """Have the runner load a version; wait for its answer, in no event loop.

        Raises ModelUnavailable, RunnerDied among them, and DeadlineExceeded.
        """
        answered: Future[RawOutcome] = Future()
        if not self.up:
            raise ModelUnavailable(f"{name} does not run at the moment: {STARTS_AGAIN}", RETRY)
        timeout = self._load_limit
        message = Call(0, version[0], monotonic() + timeout, [""], [order], version[1], LOAD)
        self._any_loop().call_soon_threadsafe(
            self._order, Order(name, answered.set_result), message
        )
        try:
            outcome = answered.result(timeout)
        except TimeoutError:
            raise DeadlineExceeded(f"it has not been loaded within {timeout:g} s") from None
        if isinstance(outcome, bytes):
            return outcome
        raise outcome

    def send(self, frame: Frame, model: int, version: int) -> None:
        """Send a frame's requests to a version of the model with this number.

        `Frame.answer` gets the answers. Raises ModelUnavailable while the runner is being started.
        """
        if not self.up:
            name = frame.runner.model.name
            raise ModelUnavailable(f"{name} does not run at the moment: {STARTS_AGAIN}", RETRY)
        if threading.get_ident() == self._thread:
            self._open_protocol().send(frame, model, version)
        else:
            self._any_loop().call_soon_threadsafe(self._send, frame, model, version)

    def _any_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:  # under another server than ours
                self._loop = start_loop("modelsync-runners")
            return self._loop

    def _send(self, frame: Frame, model: int, version: int) -> None:
        self._open_protocol().send(frame, model, version)

    def _order(self, order: Order, message: Call) -> None:
        self._open_protocol().ask(order, message)

    def _release(self, version: Version) -> None:
        if self._protocol and not self._protocol.ended:
            message = Call(0, version[0], 0.0, [], [], version[1], RELEASE)
            self._protocol.tell(message)

    def _open_protocol(self) -> RunnerConnection:
        """Return the connection; a new one first asks for the versions that are held."""
        if self._protocol is None or self._protocol.ended:
            self._protocol = protocol = RunnerConnection()
            self._open(protocol)
            for (model, version), order in list(self._held.items()):
                deadline = monotonic() + self._load_limit
                message = Call(0, model, deadline, [""], [order], version, LOAD)
                protocol.ask(Order(self.runner, _unheard), message)
        return self._protocol

    def _open(self, protocol: RunnerConnection) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        sock.setblocking(False)
        try:
            sock.connect(self._address)  # at once, as the master listens; or it fails
        except OSError as error:
            sock.close()
            protocol.connection_lost(error)
            return
        assert self._loop
        opening = self._loop.create_task(self._loop.create_connection(lambda: protocol, sock=sock))
        opening.add_done_callback(protocol.opened)


def _unheard(_: RawOutcome) -> None:
    """Do nothing: calls of a version that does not load are answered so."""
