"""`python -m bench [FIGURE ...]`: measure, print, and write RESULTS.md if all figures were
measured.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench import fanout, folders, isolation, memory, push, swap, versions
from bench.reporting import Figure, report

RESULTS = Path(__file__).with_name("RESULTS.md")

FIGURES: dict[str, Callable[[Path], Figure]] = {
    "swap": swap.measure,
    "folders": folders.measure,
    "memory": memory.measure,
    "fanout": fanout.measure,
    "push": push.measure,
    "isolation": isolation.measure,
    "versions": versions.measure,
}


def main() -> int:
    """0 if every figure meets its target."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="the figures of bench/README.md"
    )
    parser.add_argument(
        "figure", nargs="*", help=f"one or more of {', '.join(FIGURES)}; all without it"
    )
    chosen = parser.parse_args().figure or list(FIGURES)
    if unknown := [name for name in chosen if name not in FIGURES]:
        parser.error(f"no such figure: {', '.join(unknown)}")
    start = time.monotonic()
    figures = []
    for name in chosen:
        print(f"{name} ...", file=sys.stderr, flush=True)
        load = os.getloadavg()[0]
        with tempfile.TemporaryDirectory(prefix=f"modelsync-bench-{name}-") as folder:
            figure = FIGURES[name](Path(folder))
        figures.append(
            replace(figure, notes=[*figure.notes, f"Load average when it started: {load:.1f}."])
        )
        print(figures[-1].markdown(), flush=True)
    if chosen == list(FIGURES):
        RESULTS.write_text(report(figures, time.monotonic() - start))
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
