"""Ordinary models that start threads when they load, or answer in the check and not in a worker."""

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


HANGS_IN_WORKERS = """
import os, time
from pathlib import Path

class Hangs:
    def transform_predict(self, x: int):
        if b"gunicorn_master" in Path(f"/proc/{os.getppid()}/cmdline").read_bytes():
            time.sleep(3600)
        return {"y": x}
"""


@pytest.mark.parametrize("preload", ["true", "false"])
def test_an_executor_of_init_serves(tmp_path: Path, preload: str) -> None:
    """It is loaded after the fork, in a thread of its own."""
    models = tmp_path / "models"
    write_model(models, "Good", GOOD)
    write_model(models, "Pool", POOL)
    write_example(models / "Pool", {"x": -2}, {"y": 4})
    with serving(tmp_path, models, MODELSYNC_PRELOAD=preload) as service:
        assert service.post("Good", {"x": 1}).json() == {"y": 1}
        assert service.post("Pool", {"x": -3}).json() == {"y": 6}
        assert service.get("/readyz").json()["not_ready"] == {}


def test_a_model_that_hangs_in_a_worker_stops_nobody_else(tmp_path: Path) -> None:
    """It is suspended with the reason, and a later push does not fail for it."""
    models = tmp_path / "models"
    write_model(models, "Good", GOOD)
    write_model(models, "Hangs", HANGS_IN_WORKERS)
    write_example(models / "Hangs", {"x": -2}, {"y": -2})
    with serving(tmp_path, models, MODELSYNC_PREDICT_TIMEOUT=setting(2)) as service:
        assert service.post("Good", {"x": 1}).json() == {"y": 1}
        answer = service.post("Hangs", {"x": -3})
        assert answer.status_code == 503
        assert answer.headers["Retry-After"] == "10"
        assert "do not survive the fork" in answer.json()["detail"]
        assert "start(self)" in answer.json()["detail"]
        about = service.get("/models/Hangs").json()
        assert (about["state"], "do not survive" in about["reason"]) == ("failed", True)
        assert service.get("/readyz").json()["not_ready"] == {"Hangs": "failed"}
        assert until(lambda: service.lines(event="model_suspended", model="Hangs"))
        write_model(models, "Good", GOOD.replace("'y': x", "'y': x + 1"))
        service.sync()
        until(lambda: service.post("Good", {"x": 1}).json() == {"y": 2})
