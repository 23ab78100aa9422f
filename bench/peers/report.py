"""RESULTS-peers.md: every number from the run that wrote it."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench.peers import environments, ours, wrk
from bench.peers.contestants import Contestant
from bench.peers.figures import BASES, Figures
from bench.peers.rounds import Measured, Pace
from bench.peers.rows import Row, spread_of

ROOT = Path(__file__).parents[2]


def report(
    figures: Figures,
    measured: Measured,
    rows: Sequence[Row],
    pace: Pace,
    seconds: float,
    *,
    quick: bool,
) -> str:
    """The whole page."""
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    rehearsal = "\n**A rehearsal (`--quick`): rounds too short to be believed.**\n" if quick else ""
    return f"""# modelsync and its peers
Written by `make bench-peers` (`.venv/bin/python -m bench.peers{" --quick" if quick else ""}`) on
{made}, in {seconds:.0f} s.
{rehearsal}
{_machine()}
## Figures
{table_of(rows)}
## All contestants
Median of {pace.rounds} rounds, 16 connections, one pinned worker; latencies as wrk sees them,
processor time of the server with all of its processes (a busy machine changes rates, but hardly
that).

{_contestants(figures, measured)}
{_failures(figures, measured)}## Method
- Server (with all of its processes) on core 0, wrk with one thread on core 1:
  `{" ".join(wrk.command("URL", 16, pace.seconds, "post.lua"))}`.
- Rounds: each contestant is started anew, must answer the model's own answer, gets
  {pace.warm_up:g} s of warm-up and {pace.seconds:g} s of measurement; when all have had their
  turn the next round starts, at another place in the list. A ratio is that of the medians; its
  spread is that of the rounds' own ratios.
- The same models: score, `{{"score": a * 0.5 + b}}`; iris, scikit-learn's LogisticRegression; and
  of a ColumnTransformer (StandardScaler, OneHotEncoder) of four columns with a LogisticRegression
  (logistic) or a RandomForest of 100 trees (forest), each fitted with fixed seeds; custom has a
  transformer of its own folder. One row per request, answered with the class and the
  probabilities. Each contestant gets them in its natural shape of request.
- The loop without a server calls `predict_proba` with one row after the other, of a pipeline with
  a DataFrame of one row: {_loops(measured)}.
- A status over 399, a socket error or a time-out in any round is a failure, and shown. Access
  logs are off, but where the table says that they are on. modelsync's metrics cannot be turned
  off: they are on everywhere.
- modelsync remembers what it has found out about a head, and wrk sends the same bytes each time;
  in the lines "each request with a header of its own" no two heads are the same, as behind
  proxies and tracers.

## Settings, commands and versions
{_settings(figures)}"""


def table_of(rows: Sequence[Row]) -> str:
    """The figures beside their targets."""
    head = "| | measured | target | | spread, remarks |\n|---|---|---|---|---|\n"
    return head + "".join(
        f"| {row.what} | {_value(row)} | {_target(row)} | {row.verdict} | {_remarks(row)} |\n"
        for row in rows
    )


def _value(row: Row) -> str:
    return "—" if row.measured is None else f"{_number(row.measured)} {row.unit}".strip()


def _target(row: Row) -> str:
    return "" if row.target is None else f"{row.sense} {_number(row.target)} {row.unit}".strip()


def _remarks(row: Row) -> str:
    return _line("; ".join(part for part in (row.spread, row.remark) if part))


def _line(text: str) -> str:
    return " ".join(text.replace("|", "/").split())


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _contestants(figures: Figures, measured: Measured) -> str:
    lines = [
        "| | model | requests/s | spread | modelsync is | p50 ms | p99 ms | max ms | CPU "
        "µs/request | failed |\n"
        "|---|---|---|---|---|---|---|---|---|---|\n"
    ]
    for run in figures.table:
        outcome, mine = measured.of(run), measured.of(BASES[run.model])
        name = run.contestant.name + (
            ", each request with a header of its own" if run.new_heads else ""
        )
        if not outcome.samples:
            lines.append(f"| {name} | {run.model} | — | | | | | | | not measured, see below |\n")
            continue
        rate = outcome.median("rate")
        ratio = f"{mine.median('rate') / rate:.2f} x" if mine.samples and rate else ""
        failed = sum(sum(sample.errors.values()) for sample in outcome.samples)
        requests = sum(sample.requests for sample in outcome.samples)
        spread = spread_of(outcome.values("rate"), lambda value: f"{value:,.0f}")
        lines.append(
            f"| {name} | {run.model} | {rate:,.0f} | {spread} | {ratio} | "
            f"{outcome.median('p50'):.2f} "
            f"| {outcome.median('p99'):.2f} | {outcome.median('max'):.1f} | "
            f"{outcome.median('cpu'):.1f} "
            f"| {failed} of {requests:,} |\n"
        )
    return "".join(lines)


def _failures(figures: Figures, measured: Measured) -> str:
    failed = [(run, measured.of(run).failure) for run in figures.runs if measured.of(run).failure]
    if not failed:
        return ""
    lines = "".join(
        f"- {run.contestant.name}, {run.model}, {run.connections} connections: "
        f"{_line(failure)[:700]}\n"
        for run, failure in failed
    )
    return f"## What failed\n{lines}\n"


def _settings(figures: Figures) -> str:
    return "".join(_setting(one) for one in figures.contestants)


def _setting(one: Contestant) -> str:
    if one.is_ours:
        told = (
            ", ".join(f"{name} {version(name)}" for name in one.versions)
            if one is ours.PLAIN
            else ""
        )
    elif one.key == "nginx":
        told = subprocess.run(
            ["nginx", "-v"], capture_output=True, text=True, check=False
        ).stderr.strip()
    else:
        told = environments.versions(one.key, tuple(one.versions))
    return f"- **{one.name}**: {one.settings}. `{one.command}`{f' ({told})' if told else ''}\n"


def _loops(measured: Measured) -> str:
    return "; ".join(
        f"{model} {', '.join(map(_number, rates))} per second"
        for model, rates in measured.loops.items()
    )


def _machine() -> str:
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    tool = subprocess.run(
        ["wrk", "-v"], capture_output=True, text=True, check=False
    ).stdout.splitlines()[:1]
    return (
        f"- Machine: {model}, {os.cpu_count()} cores, Linux {platform.release()}; load average at "
        f"the end {load}\n"
        f"- modelsync at {commit or 'no commit'}, Python {platform.python_version()}, "
        f"{_line(' '.join(tool))[:40]}\n"
    )
