"""Ordinary models that start threads when they load, or run an event loop of their own."""

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

LOOPS = {
    "Run": "return {'y': asyncio.run(self.double(x))}",
    "New": (
        "loop = asyncio.new_event_loop()\n"
        "        try:\n            return {'y': loop.run_until_complete(self.double(x))}\n"
        "        finally:\n            loop.close()"
    ),
}


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


@pytest.mark.parametrize("name", LOOPS)
def test_a_plain_method_may_run_an_event_loop(tmp_path: Path, name: str) -> None:
    """Also where the model is called in the worker's own loop, as in the check."""
    models = tmp_path / "models"
    code = (
        f"import asyncio\n\nclass {name}:\n    async def double(self, x):\n"
        "        await asyncio.sleep(0)\n        return x * 2\n\n"
        f"    def transform_predict(self, x: int):\n        {LOOPS[name]}\n"
    )
    write_model(models, name, code)
    write_example(models / name, {"x": 2}, {"y": 4})
    write_model(models, "Good", GOOD)
    with serving(tmp_path, models, MODELSYNC_WORKERS="1") as service:
        for number in range(20):
            answer = service.post(name, {"x": number})
            assert (answer.status_code, answer.json()) == (200, {"y": 2 * number}), answer.text
        assert service.post("Good", {"x": 1}).json() == {"y": 1}
