"""`python -m bench.peers.loop SECONDS`: the model in a loop, row by row, without any server: calls
per second.
"""

from __future__ import annotations

import sys
import time

from bench.peers.shapes import VARIABLES
from bench.peers.shared.twomodels import iris


def main() -> None:
    """Print the rate."""
    row, model, seconds = [list(VARIABLES["iris"].values())], iris(), float(sys.argv[1])
    for _ in range(1000):
        model.predict_proba(row)
    calls, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        for _ in range(100):
            model.predict_proba(row)
        calls += 100
    print(calls / spent)


if __name__ == "__main__":
    main()
