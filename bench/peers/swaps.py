"""Swaps under full load: wrk on one connection pool, clients that check every answer on another."""

from __future__ import annotations

import signal
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson

from bench.peers import wrk
from tests.fixtures.load import load
from tests.fixtures.service import Service, serving, write_model
from tests.waiting import until

SWAPS = 12
CHECKING, BLIND = 8, 16
"""Connections of the clients that check, and of wrk."""

TYPE = 'wrk.headers["Content-Type"] = "application/json"'
BODY = b'{"variables": {"a": 1, "b": 2.5}}'


@dataclass(frozen=True, slots=True)
class Swaps:
    """The results."""

    swaps: int
    answered: int
    failures: list[str]
    rate: float


def measure(work: Path, swaps: int = SWAPS) -> Swaps:
    """Change the model, sync, and wait until the new one answers, again and again under load."""
    _write(work, 0)
    with serving(
        work, work / "models", MODELSYNC_WORKERS="1", MODELSYNC_LOG_LEVEL="info"
    ) as service:
        script = work / "post.lua"
        script.write_text(wrk.SCRIPT % {"body": BODY.decode(), "headers": TYPE, "request": ""})
        command = wrk.command(f"{service.base}/score", BLIND, 3600, str(script))
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            with load(
                service.port, "/models/score", BODY, connections=CHECKING, check=_check
            ) as tally:
                for number in range(1, swaps + 1):
                    _write(work, number)
                    service.sync()
                    until(partial(_serves, service, number), 60)
                until(lambda: len(service.masters()) == 1, 60)  # the last old one has gone
        finally:
            process.send_signal(signal.SIGINT)
            output, _ = process.communicate(timeout=60)
    blind = orjson.loads(output.partition("RESULT ")[2])
    failures = [*tally.failures]
    for kind, count in blind["errors"].items():
        failures += [f"wrk: {kind} error"] * count
    rate = (blind["requests"] + tally.answered) / (blind["micros"] / 1e6)
    return Swaps(swaps, blind["requests"] + tally.answered, failures, rate)


def _serves(service: Service, number: int) -> bool:
    return bool(service.post("score").json() == {"version": number})


def _write(work: Path, number: int) -> None:
    code = (
        "class Score:\n    def transform_predict(self, variables: dict):\n"
        f"        return {{'version': {number}}}\n"
    )
    write_model(work / "models", "score", code)


def _check(status: int, headers: dict[str, str], body: bytes) -> str | None:
    good = status == 200 and isinstance(orjson.loads(body)["version"], int)
    return None if good else f"{status} {body[:200]!r}"
