"""Figure 1: 20 pushes under 32 keep-alive connections at full speed; no request fails, no answer
mixes releases.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import orjson

from bench.host import Host, first_answer, hosted
from bench.reporting import Figure, Line, median, progress
from tests.fixtures.load import load
from tests.fixtures.service import Service, answers
from tests.waiting import until

PUSHES = 20
CONNECTIONS = 32
BODY = b'{"variables": {}}'

SCRIPT = """
wrk.method = "POST"
wrk.body = '{"variables": {}}'
wrk.headers["Content-Type"] = "application/json"
local seen = {}
wrong = 0
pairs_seen = ""
function response(status, headers, body)
  if status ~= 200 then wrong = wrong + 1 return end
  local release = headers["x-modelsync-release"] or headers["X-Modelsync-Release"] or "none"
  local pair = release .. " " .. body
  if not seen[pair] then
    seen[pair] = true
    pairs_seen = pairs_seen .. "PAIR " .. pair .. "\\n"
  end
end
local threads = {}
function setup(thread) table.insert(threads, thread) end
function done(summary, latency, requests)
  local e = summary.errors
  for _, thread in ipairs(threads) do
    io.write(thread:get("pairs_seen"))
    io.write("WRONG " .. thread:get("wrong") .. "\\n")
  end
  io.write(string.format("SUMMARY %d %d %d %d %d %d\\n", summary.requests, summary.duration,
    e.connect, e.read, e.write, e.timeout))
end
"""
"""For wrk: keep each pair of release and answer that was seen, and count what is no 200 or was
broken off.
"""


class Pairs:
    """Which values came with which release. The truth is known: the number that was pushed in each
    commit.
    """

    def __init__(self) -> None:
        self.truth: dict[str, int] = {}
        self.seen: dict[str, set[object]] = defaultdict(set)

    def check(self, status: int, headers: dict[str, str], body: bytes) -> str | None:
        """For each answer of the checking clients."""
        if status != 200:
            return f"{status} {body[:200]!r}"
        release, value = headers.get("x-modelsync-release", ""), orjson.loads(body)["value"]
        self.seen[release].add(value)
        # A commit may answer before its push has come back with its name: then it is judged at the
        # end.
        return None if self.truth.get(release, value) == value else f"{release} answered {value}"

    def mixed(self) -> list[str]:
        """Releases that answered with anything but their own commit's number."""
        return [
            f"{release}: {values}"
            for release, values in self.seen.items()
            if values != {self.truth.get(release)}
        ]


def measure(folder: Path) -> Figure:
    lines: list[Line] = []
    notes = []
    for name, generator in (
        ("clients that check each answer", _checking),
        ("wrk, each answer checked in Lua", _wrk),
    ):
        if generator is _wrk and not shutil.which("wrk"):
            notes.append("wrk is not installed: only the checking clients ran.")
            continue
        progress(name)
        here = folder / generator.__name__
        here.mkdir()
        pairs = Pairs()
        model = answers(0)
        with hosted(here, {"Model/etls.py": model}) as (host, service):
            pairs.truth[service.release()["commit"]] = 0
            start = time.monotonic()
            with generator(service, pairs) as outcome:
                swaps = [_push(host, service, pairs, number) for number in range(1, PUSHES + 1)]
                until(lambda: len(service.masters()) == 1, 60)  # the last old one has gone
            seconds = time.monotonic() - start
            answered, failures = outcome()
        mixed = pairs.mixed()
        notes += [f"{name}: {problem}" for problem in (failures + mixed)[:10]]
        lines += [
            Line(f"failed, {name}", len(failures), "requests", 0, of=answered + len(failures)),
            Line(
                f"releases with an answer of another, {name}",
                len(mixed),
                "releases",
                0,
                of=len(pairs.seen),
            ),
            Line("… requests per second meanwhile", answered / seconds, "/s"),
            median("… push to first new answer meanwhile", swaps, "s"),
        ]
        if len(pairs.seen) != PUSHES + 1:
            notes.append(f"{name}: {len(pairs.seen)} releases answered, not {PUSHES + 1}")
    notes.append(
        f"{PUSHES} commits, {CONNECTIONS} connections; the next push starts when the last commit "
        "answers, so that "
        "generations drain while others start."
    )
    return Figure("1. Swap: pushes under load drop nothing and mix nothing", "swap", lines, notes)


def _push(host: Host, service: Service, pairs: Pairs, number: int) -> float:
    commit = host.commit({"Model/etls.py": answers(number)})
    pairs.truth[commit] = number
    pushed = host.push(service)
    first_answer(service, "Model", commit)
    return time.time() - pushed.started


Outcome = Callable[[], tuple[int, list[str]]]
"""To be called after the load has ended: how many requests were answered well, and what failed."""


@contextlib.contextmanager
def _checking(service: Service, pairs: Pairs) -> Iterator[Outcome]:
    with load(
        service.port, "/models/Model", BODY, connections=CONNECTIONS, check=pairs.check
    ) as tally:
        yield lambda: (
            tally.answered - sum(1 for one in tally.failures if one[:1].isdigit()),
            tally.failures,
        )


@contextlib.contextmanager
def _wrk(service: Service, pairs: Pairs) -> Iterator[Outcome]:
    """wrk with one thread, ended by SIGINT, which makes it print its sums."""
    script = service.home.parent / "check.lua"
    script.write_text(SCRIPT)
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", "-d1h", "--timeout", "30s", "-s", str(script)]
    process = subprocess.Popen(
        [*command, f"{service.base}/Model"], stdout=subprocess.PIPE, text=True
    )
    output: list[str] = []
    reader = threading.Thread(target=lambda: output.extend(process.stdout or ()), daemon=True)
    reader.start()

    def outcome() -> tuple[int, list[str]]:
        rows = [line.split(maxsplit=2) for line in output if line.startswith("PAIR ")]
        for _, release, body in rows:
            pairs.seen[release].add(orjson.loads(body)["value"])
        wrong = sum(int(line.split()[1]) for line in output if line.startswith("WRONG "))
        summary = next(line for line in output if line.startswith("SUMMARY "))
        answered, _, *errors = (int(word) for word in summary.split()[1:])
        failures = ["not 200"] * wrong
        for kind, count in zip(("connect", "read", "write", "timeout"), errors, strict=True):
            failures += [f"{kind} error"] * count
        return answered - wrong, failures

    try:
        yield outcome
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        reader.join(60)
