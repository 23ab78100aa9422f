"""Memory of a running service's processes, and load that is known to have reached each of its
workers.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from pathlib import Path

import orjson
import psutil

from tests.fixtures.load import load
from tests.fixtures.service import Service
from tests.waiting import until

ROUND, PATIENCE = 2.0, 180.0
"""Seconds that connections are kept, and that all workers may take."""


def pss(processes: list[psutil.Process]) -> int:
    """Bytes: each process's own memory, and its share of what it shares (a page of two processes
    counts half).
    """
    return sum(_field(process, "Pss") for process in processes)


def _field(process: psutil.Process, name: str) -> int:
    for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no {name} in smaps_rollup")


def family(service: Service) -> list[psutil.Process]:
    """The supervisor, the generation's master and its workers."""
    found = psutil.Process(service.process.pid)
    return [found, *found.children(recursive=True)]


def reach_every_worker(
    service: Service, path: str, variables: dict[str, object], workers: int, calls: int
) -> None:
    """Call a model, or `all`, until each worker has answered at least `calls` times.

    Each answer must tell its worker: `{"pid": ...}`, or a member per model that does.
    """
    answered: Counter[int] = Counter()

    def check(status: int, headers: dict[str, str], body: bytes) -> str | None:
        if status != 200:
            return f"{status} {body[:200]!r}"
        content = orjson.loads(body)
        answered[content["pid"] if "pid" in content else next(iter(content.values()))["pid"]] += 1
        return None

    def reached() -> bool:
        return len(answered) == workers and min(answered.values()) >= calls

    body = orjson.dumps({"variables": variables})
    deadline = time.monotonic() + PATIENCE
    while not reached():
        # A client cannot choose its worker, and one worker may take all connections of a round,
        # so there are rounds.
        assert time.monotonic() < deadline, (
            f"of {workers} workers only these answered {calls} times: {answered}"
        )
        clients = load(service.port, f"/models/{path}", body, connections=8 * workers, check=check)
        with clients as tally, contextlib.suppress(AssertionError):
            until(reached, ROUND)
        assert not tally.failures, tally.failures[:3]
