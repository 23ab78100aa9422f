"""`python -m bench.peers.loop MODEL SECONDS`: the model in a loop, row by row, without any server:
calls per second.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial

import pandas as pd

from bench.peers import artefacts
from bench.peers.shapes import PIPELINES, VARIABLES
from bench.peers.shared.twomodels import iris

WARM_UP = 0.5
"""Seconds."""


def main() -> None:
    """Print the rate."""
    model, seconds = sys.argv[1], float(sys.argv[2])
    call = _call(model)
    _rate(call, WARM_UP)
    print(_rate(call, seconds))


def _call(model: str) -> Callable[[], object]:
    for name in PIPELINES:
        if name == model:
            return partial(_by_frame, artefacts.load(name).predict_proba, VARIABLES[name])
    row = [list(VARIABLES["iris"].values())]
    return partial(iris().predict_proba, row)


def _by_frame(predict: Callable[[pd.DataFrame], object], row: object) -> object:
    return predict(pd.DataFrame([row]))


def _rate(call: Callable[[], object], seconds: float) -> float:
    calls, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        for _ in range(10):
            call()
        calls += 10
    return calls / spent


if __name__ == "__main__":
    main()
