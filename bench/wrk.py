"""Load of one model by wrk, which costs less of the machine than a client in Python."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.peers.wrk import SCRIPT
from tests.fixtures.service import Service

CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Measured:
    """`rate`: requests per second. `p99`: of the latencies, in seconds."""

    rate: float
    p99: float


def measure(
    service: Service, folder: Path, name: str, variables: dict[str, Any], seconds: int
) -> Measured:
    """Ask a model with the same variables again and again; every answer must be a 200."""
    script = folder / "post.lua"
    headers = 'wrk.headers["Content-Type"] = "application/json"'
    body = json.dumps({"variables": variables}, separators=(",", ":"))
    script.write_text(SCRIPT % {"body": body, "headers": headers, "request": ""})
    done = subprocess.run(
        ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-s", script, f"{service.base}/{name}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    result = json.loads(done.stdout.partition("RESULT ")[2])
    assert not any(result["errors"].values()), result
    return Measured(result["requests"] / result["micros"] * 1e6, result["p99"] / 1e6)
