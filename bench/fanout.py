"""Figure 4: `/all` over 20 models that each wait 50 ms for a socket; a call that runs them in turn
takes 1 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import requests

from bench.host import default_workers
from bench.reporting import Figure, Line, median, percentile, progress
from tests.fixtures.service import Service, serving, write_model

MODELS = 20
WAIT = 0.05
STARTS = 3
CALLS = 30  # after the first one of each start
TARGET = 150.0

SYNC = """import socket

class Model:
    def transform_predict(self):
        with socket.create_connection(("127.0.0.1", {port})) as connection:
            return {{"answer": connection.recv(16).decode()}}
"""

ASYNC = """import asyncio

class Model:
    async def transform_predict(self):
        reader, writer = await asyncio.open_connection("127.0.0.1", {port})
        answer = await reader.read(16)
        writer.close()
        return {{"answer": answer.decode()}}
"""


@contextlib.contextmanager
def slow_server() -> Iterator[int]:
    """A TCP server on the port that it gives: it answers each connection after 50 ms."""
    loop = asyncio.new_event_loop()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(WAIT)
        writer.write(b"ok")
        writer.close()

    server = loop.run_until_complete(asyncio.start_server(answer, "127.0.0.1", 0, backlog=256))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def measure(folder: Path) -> Figure:
    lines: list[Line] = []
    for what, code in (("blocking models", SYNC), ("async def models", ASYNC)):
        progress(what)
        firsts: list[float] = []
        times: list[float] = []
        with slow_server() as port:
            for start in range(STARTS):
                here = folder / f"{what.replace(' ', '-')}-{start}"
                here.mkdir()
                for number in range(MODELS):
                    write_model(here / "models", f"Wait{number:02}", code.format(port=port))
                with serving(here, here / "models", MODELSYNC_WORKERS=default_workers()) as service:
                    first, *others = _calls(service, CALLS + 1)
                    firsts.append(first)
                    times += others
            lines += [
                median(f"{what}, median of {len(times)} calls", times, "ms", TARGET),
                Line(f"{what}, p95", percentile(times, 0.95), "ms", TARGET),
                median("… the very first call after a start", firsts, "ms"),
            ]
    notes = [
        f"{MODELS} models, each waits {WAIT * 1000:.0f} ms for a TCP server on this machine; in "
        "turn they take "
        f"{MODELS * WAIT * 1000:,.0f} ms.",
        "One client on one keep-alive connection, default settings. Every model's answer is "
        "checked.",
    ]
    return Figure("4. Fan-out: `/all` over models that wait", "fanout", lines, notes)


def _calls(service: Service, count: int) -> list[float]:
    """Milliseconds of each call of `/all`, one after the other."""
    times = []
    with requests.Session() as session:
        for _ in range(count):
            start = time.perf_counter()
            answer = session.post(f"{service.base}/all", json={"variables": {}}, timeout=30)
            times.append((time.perf_counter() - start) * 1000)
            answers = answer.json()
            assert len(answers) == MODELS, answers
            assert all(one == {"answer": "ok"} for one in answers.values()), answers
    return times
