"""Generations as the supervisor sees them: a child process that serves one release on the sockets
it is given.
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
from typing import IO

import orjson

from modelsync import settings
from modelsync.releases.store import Release
from modelsync.settings import Settings

log = logging.getLogger(__name__)


# The cores are shared out to workers already: threads of numerical libraries on top of that make
# one-row calls several times slower. Whoever sets it differently has a reason.
_ONE_THREAD = {"OMP_NUM_THREADS": "1"}


class NotReady(Exception):
    """The generation died, took too long, or answers with another release than its own."""


class Generation:
    """One child process. `faults` are the models that were good in the check and do not load in it."""

    def __init__(
        self,
        release: Release | None,
        process: asyncio.subprocess.Process,
        private: socket.socket,
        held: IO[bytes],
    ) -> None:
        self.release = release
        self.process = process
        self.faults: dict[str, str] = {}
        self._private = private
        self._held = held

    @classmethod
    async def start(
        cls,
        release: Release | None,
        *,
        listener: socket.socket,
        control: int,
        config: Settings,
        timeout: float,
    ) -> Generation:
        """Start a generation of `release` and wait until all of its workers are ready; `go` lets
        them accept requests.

        Raises NotReady, the process ended, where that takes longer than `timeout` seconds or it
        dies.
        """
        (reading, writing), (waiting, held) = _pipe(), _pipe()
        with reading, writing, waiting:
            private = socket.create_server(("127.0.0.1", 0))
            secrets = settings.hand_down()
            sockets = (listener.fileno(), private.fileno())
            given = {"ready": writing.fileno(), "go": waiting.fileno(), "control": control}
            arguments = [f"--listen={fd}" for fd in sockets] + [
                f"--{name}={fd}" for name, fd in given.items()
            ]
            if release:
                arguments.append(f"--release={release.id}")
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "modelsync.processes.gunicorn_master",
                    *arguments,
                    stdin=asyncio.subprocess.DEVNULL,
                    env=_ONE_THREAD
                    | settings.child_environment()
                    | {"MODELSYNC_SECRETS_FD": str(secrets)},
                    pass_fds=(*sockets, *given.values(), secrets),
                    # a Ctrl-C at the terminal is the supervisor's to handle
                    start_new_session=True,
                )
            finally:
                os.close(secrets)
            writing.close()
            generation = cls(release, process, private, held)
            try:
                await asyncio.wait_for(generation._boot(reading, config.server.workers), timeout)
                await asyncio.to_thread(generation._prove, timeout)
            except (NotReady, OSError, TimeoutError) as error:
                await generation.kill()
                reason = (
                    f"not ready within {timeout:g} s"
                    if isinstance(error, TimeoutError)
                    else str(error)
                )
                raise NotReady(reason) from None
            except asyncio.CancelledError:
                await generation.kill()
                raise
        return generation

    async def _boot(self, reading: IO[bytes], workers: int) -> None:
        """Read what the master and its workers report until each worker has said that it accepts
        requests.
        """
        stream = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(stream), reading
        )
        # A process that a model has started may hold the pipe open when the master has died.
        ended = asyncio.create_task(self.process.wait())
        ended.add_done_callback(lambda _: transport.close())
        with contextlib.closing(transport):
            ready: set[bytes] = set()
            while len(ready) < workers:
                line = await stream.readline()
                if not line:
                    raise NotReady(f"the process ended while it loaded: {await self._exit()}")
                if line.startswith(b"{"):
                    self.faults.update(orjson.loads(line)["faults"])
                else:
                    ready.add(line)
        ended.cancel()

    async def _exit(self) -> str:
        code = await self.process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def _prove(self, timeout: float) -> None:
        """Ask the generation itself, on the socket that only it listens on, what it serves."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self._private.getsockname()[1], timeout=timeout
        )
        with contextlib.closing(connection):
            connection.request("GET", "/readyz", headers={"Connection": "close"})
            response = connection.getresponse()
            response.read()
        if self.release and (
            response.status != 200 or response.headers["X-Modelsync-Release"] != self.release.commit
        ):
            raise NotReady(f"its readiness probe says {response.status}")

    def go(self) -> None:
        """Let its workers accept requests; those of a worker that is replaced later do so at once."""
        self._held.close()

    async def drain(self, timeout: float) -> None:
        """Ask it to end once its clients have their answers; kill it after `timeout` seconds, or
        where cancelled.
        """
        self._signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self.process.wait(), timeout)
        except TimeoutError:
            log.warning("generation %d did not end within %g s", self.process.pid, timeout)
        finally:
            await self.kill()

    async def kill(self) -> None:
        """End it and its workers now, where they have not ended yet."""
        # The whole group: a master that is gone may have left a worker that hangs in a model.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        self._private.close()
        self._held.close()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)


def _pipe() -> tuple[IO[bytes], IO[bytes]]:
    reading, writing = os.pipe()
    return os.fdopen(reading, "rb"), os.fdopen(writing, "wb")
