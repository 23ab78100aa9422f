"""Ordinary models that start threads when they load."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fixtures.service import serving, write_example, write_model
from tests.waiting import setting, until

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
    """Loaded before the fork it is suspended, with the reason and the cure; after it, it serves."""
    models = tmp_path / "models"
    write_model(models, "Good", GOOD)
    write_model(models, "Pool", POOL)
    write_example(models / "Pool", {"x": -2}, {"y": 4})
    settings = {"MODELSYNC_PRELOAD": preload, "MODELSYNC_PREDICT_TIMEOUT": setting(2)}
    with serving(tmp_path, models, env=settings) as service:
        assert service.post("Good", {"x": 1}).json() == {"y": 1}
        answer = service.post("Pool", {"x": -3})
        if preload == "false":
            assert answer.json() == {"y": 6}
            return
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "10"
        assert "do not survive the fork" in answer.json()["detail"]
        assert "MODELSYNC_PRELOAD=false" in answer.json()["detail"]
        about = service.get("/models/Pool").json()
        assert (about["state"], "do not survive" in about["reason"]) == ("failed", True)
        assert service.get("/readyz").json()["not_ready"] == {"Pool": "failed"}
        assert until(lambda: service.lines(event="model_suspended", model="Pool"))
        # A later push does not fail for it, either.
        write_model(models, "Good", GOOD.replace("'y': x", "'y': x + 1"))
        service.sync()
        until(lambda: service.post("Good", {"x": 1}).json() == {"y": 2})
