"""Ordinary models that start threads when they load."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.service import serving, write_example, write_model
from tests.waiting import until

GOOD = "class Good:\n    def transform_predict(self, x: int):\n        return {'y': x}\n"

POOL = """
from concurrent.futures import ThreadPoolExecutor

class Pool:
    def __init__(self, path):
        self.pool = ThreadPoolExecutor(2)
        list(self.pool.map(abs, [1, 2, 3, 4]))

    def transform_predict(self, x: int):
        return {"y": sum(self.pool.map(abs, [x, x]))}
"""


@pytest.mark.parametrize("preload", ["true", "false"])
def test_an_executor_of_init_stops_nobody_else(tmp_path: Path, preload: str) -> None:
    """It is loaded in each worker after the fork, and always called by the same thread."""
    models = tmp_path / "models"
    write_model(models, "Good", GOOD)
    write_model(models, "Pool", POOL)
    write_example(models / "Pool", {"x": -2}, {"y": 4})
    with serving(tmp_path, models, MODELSYNC_PRELOAD=preload) as service:
        assert service.post("Good", {"x": 1}).json() == {"y": 1}
        assert [service.post("Pool", {"x": -3}).json() for _ in range(8)] == [{"y": 6}] * 8
        assert service.get("/models/Pool").json()["placement"]["place"] == "thread"
        # A later push does not fail for it, either.
        write_model(models, "Good", GOOD.replace("'y': x", "'y': x + 1"))
        service.sync()
        until(lambda: service.post("Good", {"x": 1}).json() == {"y": 2})
