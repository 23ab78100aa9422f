"""Three times as many requests as the service can answer, from clients that do not wait for one
another.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.peers import wrk
from bench.peers.ours import ROOT, modelsync
from bench.peers.servers import CLIENT_CORE, Running, running

THREADS, QUEUE = 4, 16
PROBES = 20
"""Probes per second."""

MILLISECONDS = 20

WAITS = """
import time

class Score:
    def transform_predict(self, variables: dict):
        time.sleep(0.02)
        return {"score": variables["a"] * 0.5 + variables["b"]}
"""

COMPUTES = """
import time

class Score:
    def transform_predict(self, variables: dict):
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass
        return {"score": variables["a"] * 0.5 + variables["b"]}
"""

KINDS = {"waits": WAITS, "computes": COMPUTES}


@dataclass(frozen=True, slots=True)
class Overload:
    """The results: per second and, for latencies, sorted milliseconds."""

    kind: str
    capacity: float
    offered: float
    goodput: float
    answers: list[float]
    rejections: list[float]
    probes: list[float]
    others: dict[str, int]


def measure(kind: str, seconds: float, work: Path) -> Overload:
    """Find the capacity with as many clients as there are threads, then offer three times of it."""
    contestant = modelsync(
        f"modelsync-{kind}", "modelsync, slow", score=KINDS[kind],
        MODELSYNC_THREADS=str(THREADS), MODELSYNC_MAX_QUEUE=str(QUEUE),
    )  # fmt: skip
    with running(contestant, "score", work) as server:
        wrk.measure(server, work, connections=THREADS, seconds=1)
        capacity = wrk.measure(server, work, connections=THREADS, seconds=seconds).rate
        predictions, probes = _offer(server, 3 * capacity, seconds)
    good = predictions["by_status"].pop("200", [])
    rejected = predictions["by_status"].pop("503", [])
    healthy = probes["by_status"].pop("200", [])
    others = {
        **{
            f"predictions {status}": len(found)
            for status, found in predictions["by_status"].items()
        },
        **{f"probes {status}": len(found) for status, found in probes["by_status"].items()},
    }
    if unanswered := predictions["unanswered"] + probes["unanswered"]:
        others["unanswered"] = unanswered
    # What still waits when the last request has been sent is answered too, but no part of the
    # goodput.
    goodput = predictions["in_time"] / seconds
    return Overload(
        kind,
        capacity,
        3 * capacity,
        goodput,
        sorted(good),
        sorted(rejected),
        sorted(healthy),
        others,
    )


def _offer(server: Running, rate: float, seconds: float) -> list[dict[str, Any]]:
    host, _, port = server.url.removeprefix("http://").partition(":")
    post = (
        f"POST {server.path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(server.body)}\r\n\r\n{server.body.decode()}"
    )
    probe = f"GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n"
    streams = [
        {"host": host, "port": int(port), "request": request, "rate": each, "seconds": seconds}
        for request, each in ((post, rate), (probe, PROBES))
    ]
    command = [
        "taskset",
        "-c",
        CLIENT_CORE,
        sys.executable,
        "-m",
        "bench.peers.openloop",
        json.dumps(streams),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
