"""wrk, one thread, pinned to the client's core."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.peers.servers import CLIENT_CORE, Running

SCRIPT = """
wrk.method = "POST"
wrk.body = [==[%(body)s]==]
%(headers)s
%(request)s
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('RESULT {"requests":%%d,"micros":%%d,"p50":%%d,"p99":%%d,"max":%%d,' ..
    '"errors":{"connect":%%d,"read":%%d,"write":%%d,"timeout":%%d,"status":%%d}}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    e.connect, e.read, e.write, e.timeout, e.status))
end
"""

NEW_HEADS = """
local count = 0
local head, tail
function init(args)
  head, tail = string.match(wrk.format(nil, nil, nil), "^(.-\\r\\n)(.*)$")
end
function request()
  count = count + 1
  return head .. "X-Request-ID: bench-" .. count .. "\\r\\n" .. tail
end
"""
"""Each request with a header that no other has, as proxies and tracers send them."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of wrk. Latencies in milliseconds, as the client sees them.

    `cpu`: microseconds of processor that the server took per request; unlike the rate, a busy
    machine hardly moves it.
    """

    rate: float
    p50: float
    p99: float
    max: float
    cpu: float
    requests: int
    errors: dict[str, int]


def command(server: str, connections: int, seconds: float, script: str) -> list[str]:
    """The command that runs, which the report shows."""
    return [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds:g}s",
        "--timeout",
        "10s",
        "-s",
        script,
        server,
    ]


def measure(
    server: Running,
    work: Path,
    *,
    connections: int,
    seconds: float,
    pinned: bool = True,
    new_heads: bool = False,
) -> Sample:
    """Keep `connections` busy for some seconds."""
    script = work / "post.lua"
    headers = "\n".join(
        f'wrk.headers["{name}"] = "{value}"' for name, value in server.headers.items()
    )
    script.write_text(
        SCRIPT
        % {
            "body": server.body.decode(),
            "headers": headers,
            "request": NEW_HEADS if new_heads else "",
        }
    )
    before = server.processor_time()
    pin = ["taskset", "-c", CLIENT_CORE] if pinned else []
    done = subprocess.run(
        [*pin, *command(server.url + server.path, connections, seconds, str(script))],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    spent = server.processor_time() - before
    result = json.loads(done.stdout.partition("RESULT ")[2])
    milliseconds = {name: result[name] / 1000 for name in ("p50", "p99", "max")}
    rate = result["requests"] / result["micros"] * 1e6
    errors = {name: count for name, count in result["errors"].items() if count}
    cpu = spent * 1e6 / max(1, result["requests"])
    return Sample(rate, **milliseconds, cpu=cpu, requests=result["requests"], errors=errors)
