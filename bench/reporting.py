"""The report of a benchmark, as text: each number beside its target, and their ratio."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from modelsync import __version__


@dataclass(frozen=True, slots=True)
class Line:
    """One number. `runs` are the measurements it was taken from; `of` is the count that failures
    are counted in.

    Without a `target` it is shown for information. A `known` limit may miss its target without the
    figure failing: the figure's notes say why.
    """

    what: str
    measured: float
    unit: str
    target: float | None = None
    runs: tuple[float, ...] = ()
    of: int | None = None
    known: bool = False

    @property
    def met(self) -> bool:
        return self.target is None or self.measured <= self.target

    @property
    def verdict(self) -> str:
        if self.target is None:
            return ""
        return "met" if self.met else "missed, a known limit" if self.known else "MISSED"

    @property
    def ratio(self) -> str:
        """Measured to target: 1.00 or less is met. A target of none at all has counts in place of a
        ratio.
        """
        if self.target is None:
            return ""
        if self.of is not None:
            return f"{self.measured:,.0f} / {self.of:,}"
        return f"{self.measured / self.target:.2f}"

    @property
    def spread(self) -> str:
        if len(self.runs) < 2:
            return ""
        return f"{_number(min(self.runs))} to {_number(max(self.runs))} ({len(self.runs)} runs)"


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the list: its lines, and what a reader must know to believe them."""

    title: str
    name: str
    lines: Sequence[Line]
    notes: Sequence[str] = ()

    @property
    def met(self) -> bool:
        return all(line.met or line.known for line in self.lines)

    def markdown(self) -> str:
        head = "| | measured | target | ratio | | spread |\n|---|---|---|---|---|---|\n"
        rows = "".join(
            f"| {line.what} | {_number(line.measured)} {line.unit} | {_target(line)} | "
            f"{line.ratio} | {line.verdict} "
            f"| {line.spread} |\n"
            for line in self.lines
        )
        notes = "".join(f"- {note}\n" for note in self.notes)
        return f"## {self.title}\n`.venv/bin/python -m bench {self.name}`\n\n{head}{rows}" + (
            f"\n{notes}" if notes else ""
        )


def median(
    what: str, runs: Sequence[float], unit: str, target: float | None = None, known: bool = False
) -> Line:
    """The line of a measurement that was made several times."""
    return Line(what, statistics.median(runs), unit, target, tuple(runs), known=known)


def percentile(runs: Sequence[float], share: float) -> float:
    """The smallest of the values that `share` of them do not exceed."""
    ordered = sorted(runs)
    return ordered[max(0, -(-len(ordered) * round(share * 100) // 100) - 1)]


def report(figures: Sequence[Figure], seconds: float) -> str:
    """The whole of RESULTS.md."""
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return (
        "# Results\n"
        f"Written by `make bench` (`.venv/bin/python -m bench`) on {made}, in {seconds:.0f} s. "
        "What each figure means "
        "and how it is\nmeasured is in [README.md](README.md). Ratio: measured to target; 1.00 or "
        "less is met.\n\n"
        f"{_machine()}\n" + "\n".join(figure.markdown() for figure in figures)
    )


def _machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[0]
    packages = (
        "gunicorn",
        "uvloop",
        "httptools",
        "orjson",
        "flask",
        "gitpython",
        "numpy",
        "pandas",
        "scikit-learn",
    )
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return (
        f"- Machine: {_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux "
        f"{platform.release()}; "
        f"load average at the end {load:.1f}. Service, clients and git server share it.\n"
        f"- Versions: modelsync {__version__} ({_commit()}), {python}, {versions}\n"
    )


def _commit() -> str:
    """The commit that was measured, if this is a git repository; RESULTS.md does not count."""
    git = ["git", "-C", str(Path(__file__).parent)]
    commit = subprocess.run(
        [*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False
    )
    changes = subprocess.run(
        [*git, "status", "--porcelain", "--", "../modelsync"],
        capture_output=True,
        text=True,
        check=False,
    )
    if commit.returncode != 0:
        return "commit unknown"
    return f"commit {commit.stdout.strip()}" + (" with local changes" if changes.stdout else "")


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _target(line: Line) -> str:
    if line.target is None:
        return ""
    return f"{'≤ ' if line.target else ''}{_number(line.target)} {line.unit}"


def progress(text: str) -> None:
    """Print what is being measured."""
    print(f"  {text}", file=sys.stderr, flush=True)
