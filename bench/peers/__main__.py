"""`python -m bench.peers [PEER ...] [--only GROUP ...]`: measure modelsync and its peers, print the
figures, write RESULTS-peers.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from bench.peers import contestants, overload, swaps
from bench.peers.figures import Figures
from bench.peers.report import report, table_of
from bench.peers.rounds import Measured, Pace
from bench.peers.rows import Row, of_overload, of_swaps
from bench.peers.shapes import GROUPS

RESULTS = Path(__file__).parents[1] / "RESULTS-peers.md"
NEEDED = {"fastapi", "nginx"}
"""The peers to which one alone is compared as well."""

LOAD = "load"
"""The group of swaps under load and of overload, where modelsync is alone."""

QUICK = Pace(rounds=1, warm_up=1.0, seconds=1.0)


def main() -> int:
    """0 if every figure meets its target."""
    arguments = _arguments()
    peers = contestants.peers()
    keys = {peer.key for peer in peers}
    if arguments.peer:
        keys &= NEEDED | set(arguments.peer)
    for tool in ("wrk", "nginx", "taskset"):
        if not shutil.which(tool):
            print(f"{tool} is not installed", file=sys.stderr)
            return 2
    if (os.cpu_count() or 1) < 2:
        print("two cores are needed: one for the server, one for the client", file=sys.stderr)
        return 2
    pace = QUICK if arguments.quick else Pace(rounds=arguments.rounds, seconds=arguments.seconds)
    start = time.monotonic()
    models = [model for group in arguments.only for model in GROUPS.get(group, ())]
    figures = Figures(peers, keys, models)
    measured = Measured(figures.runs, figures.looped)
    with tempfile.TemporaryDirectory(prefix="ms-peers-") as name:
        folder = Path(name)
        measured.complete(pace, folder, _progress)
        rows = figures.rows(measured)
        if LOAD in arguments.only:
            rows += _under_load(folder, quick=arguments.quick)
    print(table_of(rows))
    page = report(figures, measured, rows, pace, time.monotonic() - start, quick=arguments.quick)
    arguments.output.write_text(page)
    return 0 if all(row.met for row in rows) else 1


def _under_load(folder: Path, *, quick: bool) -> list[Row]:
    _progress("swaps under load")
    (folder / "swaps").mkdir()
    rows = [of_swaps(swaps.measure(folder / "swaps", 2 if quick else swaps.SWAPS))]
    for kind in overload.KINDS:
        _progress(f"overload of a model that {kind}")
        rows += of_overload(overload.measure(kind, 3 if quick else 10, folder / kind))
    return rows


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers", description="modelsync and its peers, in one run"
    )
    parser.add_argument(
        "peer", nargs="*", help="folders of bench/peers; all without it (FastAPI and nginx always)"
    )
    groups = [*GROUPS, LOAD]
    parser.add_argument(
        "--only", nargs="+", choices=groups, default=groups, metavar="GROUP",
        help=f"of {', '.join(groups)}",
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="a rehearsal: one short round")
    parser.add_argument(
        "--rounds", type=int, default=Pace.rounds, help="how often each is measured"
    )
    parser.add_argument("--seconds", type=float, default=Pace.seconds, help="how long each time")
    parser.add_argument("--output", type=Path, default=RESULTS, help="where the page goes")
    return parser.parse_args()


def _progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
