"""A machine that gives no more descriptors or threads: clients are told, and it passes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from tests.fixtures.service import answers, serving, write_model
from tests.service.faulty import Client, model
from tests.waiting import patient, until


@contextmanager
def idle_connections(port: int, count: int) -> Iterator[list[socket.socket]]:
    """Connections that have got one answer each, and send nothing more."""
    with ExitStack() as stack:
        found = []
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", port), patient(20))
            stack.enter_context(one)
            one.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert one.recv(65536).startswith(b"HTTP/1.1 200")
            found.append(one)
        yield found


@pytest.mark.parametrize(("soft", "hard"), [(100, 4096), (100, 100)])
def test_more_idle_connections_than_descriptors(tmp_path: Path, soft: int, hard: int) -> None:
    """The soft limit is raised to the hard one; there the longest idle make room for new ones."""
    write_model(tmp_path / "models", "Model", answers(1))
    limit = ("prlimit", f"--nofile={soft}:{hard}")
    with (
        serving(tmp_path, tmp_path / "models", within=limit, MODELSYNC_WORKERS="1") as service,
        idle_connections(service.port, 300) as idle,
    ):
        assert service.post("Model").json() == {"value": 1}
        idle[-1].sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle[-1].recv(65536).startswith(b"HTTP/1.1 200")
        idle[0].settimeout(patient(0.2) if hard > soft else patient(20))
        if hard > soft:
            with pytest.raises(TimeoutError):
                idle[0].recv(1)
        else:
            assert idle[0].recv(1) == b""
            until(lambda: service.lines(logger="modelsync.server.acceptor", level="warning"))
        assert service.lines(event="worker_ended") == []


def test_no_thread_can_be_started(tmp_path: Path) -> None:
    """503 with the reason, for what needs a thread alone; afterwards all is as before."""
    models = tmp_path / "models"
    write_model(models, "Slow", model("import time; time.sleep(0.1)\nreturn {'value': 1}"))
    with serving(tmp_path, models, MODELSYNC_WORKERS="1") as service:
        client = Client(service)
        worker = psutil.Process(client.worker())
        before = worker.rlimit(psutil.RLIMIT_AS)
        # Enough for a request, not for the stack of a thread.
        room = worker.memory_info().vms + 2**18
        worker.rlimit(psutil.RLIMIT_AS, (room, before[1]))
        with ThreadPoolExecutor(12) as pool:
            answered = list(pool.map(lambda _: client.post("Slow"), range(12)))
        refused = [one for one in answered if one.status_code == 503]
        assert refused
        assert all("starts no more threads" in one.json()["detail"] for one in refused)
        assert all("Retry-After" in one.headers for one in refused)
        worker.rlimit(psutil.RLIMIT_AS, (before[0], before[1]))
        until(lambda: client.value("Slow") == 1)
        assert client.worker() == worker.pid
