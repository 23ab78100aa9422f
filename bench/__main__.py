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

from bench import (
    checks,
    fanout,
    folders,
    isolation,
    large_files,
    memory,
    night,
    push,
    sampling,
    schemas,
    shadow,
    shared_code,
    swap,
    training,
    versions,
)
from bench.reporting import Figure, report
from modelsync.settings import parsers

RESULTS = Path(__file__).with_name("RESULTS.md")

FIGURES: dict[str, Callable[..., Figure]] = {
    "swap": swap.measure,
    "folders": folders.measure,
    "memory": memory.measure,
    "fanout": fanout.measure,
    "push": push.measure,
    "isolation": isolation.measure,
    "training": training.measure,
    "versions": versions.measure,
    "schemas": schemas.measure,
    "checks": checks.measure,
    "sampling": sampling.measure,
    "night": night.measure,
    "large_files": large_files.measure,
    "shared_code": shared_code.measure,
    "shadow": shadow.measure,
}


def main() -> int:
    """0 if every figure meets its target."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="the figures of bench/README.md"
    )
    parser.add_argument(
        "figure", nargs="*", help=f"one or more of {', '.join(FIGURES)}; all without it"
    )
    parser.add_argument(
        "--training-size",
        default="512MiB",
        help="of the data of the figure `training`, such as 4GiB",
    )
    asked = parser.parse_args()
    chosen = asked.figure or list(FIGURES)
    size = parsers.size(asked.training_size)
    if unknown := [name for name in chosen if name not in FIGURES]:
        parser.error(f"no such figure: {', '.join(unknown)}")
    start = time.monotonic()
    figures = []
    for name in chosen:
        print(f"{name} ...", file=sys.stderr, flush=True)
        load = os.getloadavg()[0]
        with tempfile.TemporaryDirectory(prefix=f"modelsync-bench-{name}-") as folder:
            further = {"size": size} if name == "training" else {}
            figure = FIGURES[name](Path(folder), **further)
        figures.append(
            replace(figure, notes=[*figure.notes, f"Load average when it started: {load:.1f}."])
        )
        print(figures[-1].markdown(), flush=True)
    if chosen == list(FIGURES):
        RESULTS.write_text(report(figures, time.monotonic() - start))
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
