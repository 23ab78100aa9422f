"""What ordinary faults and overload do to runners: none ends one, and none keeps it from serving
for ever.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from time import sleep

import pytest

from modelsync import settings
from modelsync.environments.store import python_of
from modelsync.inference.process_runner import HostedModel, RunnerGroup
from modelsync.models.placement import Placement
from modelsync.models.types import ModelName, ModelSpec, TreeHash
from modelsync.processes.runner_processes import RunnerProcesses
from modelsync.processes.socket_folder import SocketFolder
from modelsync.runner.connection import WorkerConnection
from tests.fixtures.service import serving, write_example, write_model
from tests.waiting import patient, setting, until

TIMEOUT = 2

SLOW = """
import os, time
class {0}:
    def __init__(self):
        self.calls = 0
    def transform_predict{1}
"""
BATCH = """_batch(self, rows: list[dict]) -> list:
        self.calls += 1
        time.sleep(rows[0]["seconds"])
        return [{"pid": os.getpid()} for _ in rows]
"""
SINGLE = """(self, seconds: float):
        self.calls += 1
        time.sleep(seconds)
        return {"pid": os.getpid()}
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("isolation", "method"), [("auto", SINGLE), ("model", BATCH)], ids=["thread", "runner"]
)
def test_calls_that_have_waited_too_long_end_no_runner_and_no_thread(
    tmp_path: Path, method: str, isolation: str
) -> None:
    """A queue longer than the deadline: the last calls start shortly before it, or after it.

    Their models are busy, and do not hang.
    """
    models = tmp_path / "models"
    write_model(models, "Slow", SLOW.format("Slow", method))
    write_example(models / "Slow", {"seconds": 0})
    with serving(
        tmp_path,
        models,
        MODELSYNC_ISOLATION=isolation,
        MODELSYNC_PREDICT_TIMEOUT=setting(TIMEOUT),
        MODELSYNC_WORKERS="1",
    ) as service:
        before = service.post("Slow", {"seconds": 0}).json()

        def ask(number: int) -> int:
            sleep(number * patient(0.05))  # so that each is a frame of its own
            return service.post("Slow", {"seconds": patient(TIMEOUT * 0.9)}).status_code

        with ThreadPoolExecutor(8) as clients:
            answers = sorted(clients.map(ask, range(8)))
        assert set(answers) == {200, 504}
        after = until(lambda: service.post("Slow", {"seconds": 0}).json().get("pid"))
        assert {"pid": after} == before
        assert service.lines(event="runner_ended") == []
        assert service.lines(event="model_thread_replaced") == []


def test_a_python_that_ends_at_once_is_a_fault_of_its_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An environment whose Python misses a library: it is not started again and again."""
    monkeypatch.setenv("MODELSYNC_HOME", str(tmp_path))
    python = python_of(tmp_path, "broken")
    python.parent.mkdir(parents=True)
    python.symlink_to("/bin/false")
    runners, steps = RunnerProcesses(settings.load(), tmp_path), list[int]()
    models = [
        HostedModel(
            ModelSpec(ModelName(name), tmp_path / name, version=TreeHash("a" * 40)), Placement()
        )
        for name in "MN"
    ]
    try:
        runners.start([RunnerGroup("both", "broken", models)])
        [hosted] = runners.hosted(lambda: steps.append(1))
    finally:
        runners.end()
    assert steps
    assert hosted.models == {}
    assert hosted.faults == dict.fromkeys("MN", "its process ended while it loaded: exit code 1")


def test_an_answer_that_finds_its_worker_gone_harms_nobody() -> None:
    """The worker ends; before the loop hears of it, a thread has posted another answer."""
    ours, theirs = socket.socketpair()
    with selectors.DefaultSelector() as selector:
        connection = WorkerConnection(ours, selector, lambda *_: None, lambda _: None)
        connection.answer(1, [(0, b"x" * 10_000_000)])
        theirs.close()
        [(key, events)] = selector.select(patient(5))
        connection.answer(2, [(0, b"y")])
        key.data(events)
        assert selector.get_map() == {}


HANGS = """
import os, time
class Hangs:
    def transform_predict(self, seconds: float):
        time.sleep(seconds)
        return {"pid": os.getpid()}
"""


@pytest.mark.long
def test_a_runner_whose_calls_hang_for_ever_is_replaced(tmp_path: Path) -> None:
    """Each of them keeps a thread; the model, which is called again, is not switched off."""
    models = tmp_path / "models"
    write_model(models, "Hangs", HANGS)
    write_example(models / "Hangs", {"seconds": 0.02})
    with serving(
        tmp_path,
        models,
        MODELSYNC_ISOLATION="model",
        MODELSYNC_PREDICT_TIMEOUT=setting(1),
        MODELSYNC_THREADS="4",
    ) as service:
        before = service.post("Hangs", {"seconds": 0}).json()["pid"]
        with ThreadPoolExecutor(4) as clients:
            hanging = clients.map(lambda _: service.post("Hangs", {"seconds": 10_000}), range(4))
            assert {answer.status_code for answer in hanging} <= {503, 504}
        pid = until(
            lambda: (
                (now := service.post("Hangs", {"seconds": 0}).json().get("pid")) != before and now
            )
        )
        assert pid
        [death] = service.lines(event="runner_ended", runner="Hangs")
        assert death["how"] == "SIGKILL"


def test_the_folders_of_sockets_that_killed_processes_have_left_are_removed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those of living ones are not."""
    with TemporaryDirectory() as name:  # short enough for sockets, which `tmp_path` may not be
        folder = Path(name)
        monkeypatch.setattr("tempfile.tempdir", name)
        monkeypatch.setenv("TMPDIR", name)
        living = SocketFolder()
        code = "from modelsync.processes.socket_folder import SocketFolder; SocketFolder()"
        subprocess.run([sys.executable, "-c", code], check=True)
        assert len({*folder.iterdir()} - {living.path}) == 1
        second = SocketFolder()
        assert {*folder.iterdir()} == {living.path, second.path}
        living.remove()
        second.remove()
        assert [*folder.iterdir()] == []


CONNECTS = """
import os
class Connects:
    def __init__(self):
        if os.path.exists(os.environ["DOWN"]): raise ConnectionRefusedError("no database")
    def transform_predict(self, seconds: float):
        return {"pid": os.getpid()}
"""


@pytest.mark.long
def test_a_model_that_does_not_load_again_is_tried_again(tmp_path: Path) -> None:
    """Its database was away when its runner had to be started again."""
    models, down = tmp_path / "models", tmp_path / "down"
    write_model(models, "Connects", CONNECTS)
    with serving(tmp_path, models, MODELSYNC_ISOLATION="model", DOWN=str(down)) as service:
        before = service.post("Connects", {"seconds": 0}).json()["pid"]
        down.touch()
        os.kill(before, signal.SIGKILL)
        until(lambda: service.lines(event="runner_ended", how="exit code 1"))
        assert service.post("Connects", {"seconds": 0}).status_code == 503
        [*_, said] = service.lines(level="error", model="Connects")
        assert "no database" in said["message"]
        down.unlink()
        assert until(lambda: service.post("Connects", {"seconds": 0}).json().get("pid"))
