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
from typing import IO

import orjson

from modelsync import settings
from modelsync.releases.store import Release
from modelsync.settings import Settings

log = logging.getLogger(__name__)


# Each core has a worker already: threads of numerical libraries on top of that make calls with one
# row several times slower. The variable of the user's environment wins.
_ONE_THREAD = {"OMP_NUM_THREADS": "1"}


class NotReady(Exception):
    """The generation died, took too long, or answers with another release than its own."""


class Generation:
    """One child process.

    `faults` are the models that passed the check and do not load in it. `suspended` are those that
    have loaded, and failed or hung in their start or their first call in some worker.
    """

    def __init__(
        self,
        release: Release | None,
        process: asyncio.subprocess.Process,
        private: socket.socket,
        gate: IO[bytes],
    ) -> None:
        self.release = release
        self.process = process
        self.faults: dict[str, str] = {}
        self.suspended: dict[str, str] = {}
        self._private = private
        self._gate = gate

    @classmethod
    async def start(
        cls,
        release: Release | None,
        *,
        listener: socket.socket,
        requests: int,
        config: Settings,
        timeout: float,
    ) -> Generation:
        """Start a generation of `release` and wait until all of its workers are ready.

        Its workers accept requests of clients only after `open_gate`. `requests` is the descriptor
        through which it requests syncs. Raises NotReady, the process ended, if it dies or needs
        more than `timeout` seconds.
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
                    # the supervisor handles Ctrl-C at the terminal
                    start_new_session=True,
                )
            finally:
                os.close(secrets)
            writing.close()
            generation = cls(release, process, private, gate)
            try:
                await asyncio.wait_for(
                    generation._wait_for_workers(reading, config.server.workers), timeout
                )
                await asyncio.to_thread(generation._check_readiness, timeout)
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

    async def _wait_for_workers(self, reading: IO[bytes], workers: int) -> None:
        """Read the reports of the master and its workers until each worker is ready.

        Raises NotReady if the process ends before.
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
                line = await stream.readline()
                if not line:
                    raise NotReady(f"the process ended while it loaded: {await self._exit()}")
                if line.startswith(b"{"):
                    report = orjson.loads(line)
                    self.faults.update(report.get("faults", {}))
                    self.suspended.update(report.get("suspended", {}))
                else:
                    ready.add(line)
        ended.cancel()

    async def _exit(self) -> str:
        code = await self.process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

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
            response.read()
        if self.release and (
            response.status != 200 or response.headers["X-Modelsync-Release"] != self.release.commit
        ):
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
        self._private.close()
        self._gate.close()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)


def _pipe() -> tuple[IO[bytes], IO[bytes]]:
    reading, writing = os.pipe()
    return os.fdopen(reading, "rb"), os.fdopen(writing, "wb")
