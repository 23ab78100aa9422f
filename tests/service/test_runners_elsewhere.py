"""Runners under another server than ours: the process that loads the service owns them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
import requests

from tests.fixtures.service import write_model
from tests.waiting import patient, until

ROOT = Path(__file__).parents[2]

MODEL = """
import os
class M:
    def transform_predict(self, do: str = ""):
        if do == "exit": os._exit(1)
        return {"y": 1, "pid": os.getpid()}
"""


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder for temporary files, short enough for sockets, which `tmp_path` may not be."""
    with TemporaryDirectory() as name:
        yield Path(name)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--preload"],
        ["--worker-class", "modelsync.processes.gunicorn_worker.ModelsyncWorker"],
    ],
    ids=["each", "preload", "our worker class"],
)
def test_another_gunicorn_serves_from_runners(
    tmp_path: Path, scratch: Path, options: list[str]
) -> None:
    """They answer, come back when they end, and end with the server, which leaves nothing."""
    write_model(tmp_path / "models", "M", MODEL)
    socket = tmp_path / "port"
    environment = {
        **os.environ,
        "MODELSYNC_HOME": str(tmp_path / "home"),
        "MODELSYNC_MODELS": str(tmp_path / "models"),
        "MODELSYNC_ISOLATION": "model",
        "TMPDIR": str(scratch),
        "MODELSYNC_PREDICT_TIMEOUT": "5s",
    }
    log = tmp_path / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "app:app", "--chdir", str(ROOT), "--bind",
             "127.0.0.1:0", "--workers", "1", "--pid", str(socket), *options],
            env=environment, stdout=output, stderr=output, cwd=tmp_path,
        )  # fmt: skip
    try:
        port = until(lambda: log.read_text().partition("http://127.0.0.1:")[2].partition(" ")[0])

        def ask(do: str = "") -> requests.Response:
            body = {"variables": {"do": do}}
            url = f"http://127.0.0.1:{port}/models/M"
            return requests.post(url, json=body, timeout=patient(20))

        first = until(lambda: ask().json().get("pid"))
        assert "modelsync.runner" in psutil.Process(first).cmdline()
        assert ask("exit").status_code == 503
        assert until(lambda: ask().json().get("pid", first) != first)
        family = psutil.Process(server.pid).children(recursive=True)
    finally:
        server.terminate()
        assert server.wait(patient(20)) == 0
    until(lambda: not [one for one in family if one.is_running()])
    assert [*scratch.glob("modelsync-*")] == []
