"""A generation: the process that serves one release, as the supervisor sees it.

It starts with open sockets, reports each ready worker, and accepts clients once its gate opens.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import IO

import orjson

from modelsync import bootstrap, problems, settings
from modelsync.orphans import Children
from modelsync.releases.store import Release
from modelsync.settings import Settings

log = logging.getLogger(__name__)


STRANGERS = 0.5
"""Seconds between two looks for processes that a dead generation has left."""


class NotReady(Exception):
    """The generation died, took too long, or answers with another release than its own.

    `model` is the one that hung while it loaded, or ended the process. `transient`: the reason may
    pass, so that the release is not to blame. `unfit`: the models that do not load, with the
    reasons; without them the release would be served.
    """

    def __init__(
        self,
        reason: str,
        *,
        model: str = "",
        transient: bool = False,
        unfit: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(reason)
        self.model = model
        self.transient = transient
        self.unfit = unfit


class Generation:
    """One child process.

    `faults` are the models that passed the check and do not load in it, `loading` is the one that
    it loads now. `suspended` are those that have loaded, and failed or hung in their start or their
    first call in some worker.
    """

    def __init__(
        self,
        release: Release | None,
        process: asyncio.subprocess.Process,
        private: socket.socket,
        gate: IO[bytes],
        children: Children,
    ) -> None:
        self.release = release
        self.process = process
        self.faults: dict[str, str] = {}
        self.loading = ""
        self.suspended: dict[str, str] = {}
        self._private = private
        self._gate = gate
        self._children = children

    @classmethod
    async def start(
        cls,
        release: Release | None,
        *,
        listener: socket.socket,
        requests: int,
        config: Settings,
        timeout: float,
        load_timeout: float,
        left_out: Mapping[str, str],
        children: Children,
    ) -> Generation:
        """Start a generation of `release` and wait until all of its workers are ready.

        Its workers accept requests of clients only after `open_gate`. `requests` is the descriptor
        through which it sends requests (`requests_pipe`); `left_out` are the models that it must
        not load, with the reasons. Its process is added to `children`. Raises NotReady, the process
        ended, if it dies, needs more than `load_timeout` seconds for one model, or more than
        `timeout` for anything else.
        """
        (reading, writing), (waiting, gate) = _pipe(), _pipe()
        with reading, writing, waiting:
            private = socket.create_server(("127.0.0.1", 0))
            secrets = settings.hand_down()
            sockets = (listener.fileno(), private.fileno())
            given = {"ready": writing.fileno(), "gate": waiting.fileno(), "requests": requests}
            arguments = [f"--listen={fd}" for fd in sockets] + [
                f"--{name}={fd}" for name, fd in given.items()
            ]
            arguments.append(f"--left-out={orjson.dumps(dict(left_out)).decode()}")
            arguments.append(f"--supervisor={os.getpid()}")
            if release:
                arguments.append(f"--release={release.id}")
            try:
                with children.starting():
                    process = await asyncio.create_subprocess_exec(
                        sys.executable,
                        "-m",
                        "modelsync.processes.gunicorn_master",
                        *arguments,
                        stdin=asyncio.subprocess.DEVNULL,
                        env=bootstrap.ONE_THREAD
                        | settings.child_environment()
                        | {"MODELSYNC_SECRETS_FD": str(secrets)},
                        pass_fds=(*sockets, *given.values(), secrets),
                        # the supervisor handles Ctrl-C at the terminal
                        start_new_session=True,
                    )
                    children.add(process.pid)
            except OSError as error:
                private.close()
                gate.close()
                raise NotReady(f"it cannot start: {error.strerror}", transient=True) from None
            finally:
                os.close(secrets)
            writing.close()
            generation = cls(release, process, private, gate, children)
            try:
                await generation._wait_for_workers(
                    reading, config.server.workers, timeout, load_timeout
                )
                await asyncio.to_thread(generation._check_readiness, timeout)
            except NotReady:
                await generation.kill()
                raise
            except OSError as error:
                await generation.kill()
                raise NotReady(f"its readiness probe fails: {error}", transient=True) from None
            except asyncio.CancelledError:
                await generation.kill()
                raise
        return generation

    async def _wait_for_workers(
        self, reading: IO[bytes], workers: int, timeout: float, load_timeout: float
    ) -> None:
        """Read the reports of the master and its workers until each worker is ready.

        Raises NotReady if the process ends before, or a step takes longer than its time in seconds.
        """
        stream = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), reading
        )
        # When the master dies, a process that a model has started may hold the pipe open.
        ended = asyncio.create_task(self.process.wait())
        ended.add_done_callback(lambda _: transport.close())
        with contextlib.closing(transport):
            ready: set[bytes] = set()
            while len(ready) < workers:
                limit = load_timeout if self.loading else timeout
                try:
                    line = await asyncio.wait_for(stream.readline(), limit)
                except TimeoutError:
                    raise self._late(limit) from None
                if not line:
                    raise self._ended(await self.process.wait())
                if line.startswith(b"{"):
                    step = orjson.loads(line)
                    self.faults.update(step.get("faults", {}))
                    self.suspended.update(step.get("suspended", {}))
                    self.loading = step.get("loading", self.loading)
                else:
                    ready.add(line)
        ended.cancel()

    def _late(self, limit: float) -> NotReady:
        """Return the error for a step that has taken longer than `limit` seconds."""
        if model := self.loading:
            return NotReady(f"it did not load within {limit:g} s", model=model)
        return NotReady(f"not ready within {limit:g} s", transient=True)

    def _ended(self, code: int) -> NotReady:
        """Return the error for the end of the process; whoever killed it, it was no model."""
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        killed = code == -signal.SIGKILL
        if (model := self.loading) and not killed:
            return NotReady(f"it ended the process while it was loaded: {how}", model=model)
        while_loading = f" {self.loading}" if self.loading else ""
        reason = f"the process ended while it loaded{while_loading}: {how}"
        return NotReady(reason, transient=killed)

    def _check_readiness(self, timeout: float) -> None:
        """Ask the readiness probe on the private socket, which only this generation listens on.

        Raises NotReady if it is not ready with its own release, OSError.
        """
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._private.getsockname()[1], timeout=timeout
        )
        with contextlib.closing(connection):
            connection.request("GET", "/readyz", headers={"Connection": "close"})
            response = connection.getresponse()
            body = response.read()
        if self.release is None:
            return
        # Without a model it says why to whoever asks; a load balancer sends no requests to it.
        is_up = response.status == 200 or problems.NO_MODEL in body.decode("utf-8", "replace")
        if not is_up or response.headers["X-Modelsync-Release"] != self.release.commit:
            raise NotReady(f"its readiness probe answers {response.status}")

    def open_gate(self) -> None:
        """Let its workers accept requests, also workers that are replaced later."""
        self._gate.close()

    async def drain(self, timeout: float) -> None:
        """Send SIGTERM: it ends once its clients have their answers.

        It is killed after `timeout` seconds, or if this is cancelled.
        """
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), timeout)
        except TimeoutError:
            log.warning("generation %d did not end within %g s", self.process.pid, timeout)
        finally:
            await self.kill()

    async def kill(self) -> None:
        """Kill it and its workers, if they have not ended yet."""
        # The whole process group: a dead master may have left a worker that hangs in a model.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        self._children.forget(self.process.pid)
        self._private.close()
        self._gate.close()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)


def _pipe() -> tuple[IO[bytes], IO[bytes]]:
    reading, writing = os.pipe()
    return os.fdopen(reading, "rb"), os.fdopen(writing, "wb")


async def end_strangers(children: Children) -> None:
    """End what dead generations and updates have left, for ever."""
    while True:
        children.end_strangers()
        await asyncio.sleep(STRANGERS)
