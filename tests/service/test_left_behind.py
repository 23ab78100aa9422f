"""What models start besides: whichever process dies, and however, nothing of it is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fixtures.processes import gone, marked
from tests.fixtures.service import Service, answers, serving, write_example, write_model
from tests.service.faulty import model
from tests.waiting import until

pytestmark = pytest.mark.long

SESSION = """
import subprocess
subprocess.Popen(["sleep", "1000"], start_new_session=True)
return {"value": 1}
"""

DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(1000)
    os._exit(0)
os.wait()
return {"value": 1}
"""
"""A daemon as in the books: forked twice, in a session of its own; and deaf to SIGTERM."""

STARTED = """
import multiprocessing as mp
from multiprocessing import shared_memory
context = mp.get_context(%r)
self.process = context.Process(target=time.sleep, args=(1000,))
self.process.start()
return {"value": 1}
"""

MODELS = {
    "Session": model(SESSION),
    "Daemon": model(DAEMON, top="import signal"),
    "Spawns": model(STARTED % "spawn", top="import time"),
    "Serves": model(STARTED % "forkserver", top="import time"),
    "Loads": model(
        top="import subprocess",
        init="subprocess.Popen(['sleep', '1001'], start_new_session=True, close_fds=False)",
    ),
    "Plain": answers(1),
}

ENDS: dict[str, Callable[[Service], None]] = {
    "SIGTERM": lambda service: service.process.terminate(),
    "master killed": lambda service: service.masters()[0].kill(),
    "supervisor killed": lambda service: service.process.kill(),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("left")
    for name, code in MODELS.items():
        write_model(folder, name, code)
    return folder


@pytest.mark.parametrize("how", ENDS)
def test_nothing_outlives_its_generation(tmp_path: Path, models: Path, how: str) -> None:
    """Whatever a model starts, in sessions of their own, and whoever is killed."""
    with serving(tmp_path, models, MODELSYNC_WORKERS="1") as service:
        for name in MODELS:
            assert service.post(name).json() == {"value": 1}, name
        before = [one for one in marked(service.home) if one.pid != service.process.pid]
        assert len([one for one in before if one.name() == "sleep"]) >= 2
        ENDS[how](service)
        if how == "master killed":
            until(lambda: not any(one.is_running() for one in before), message=str(before))
            until(lambda: service.post("Plain").json() == {"value": 1})
            service.stop()
        gone(service.home)


def test_a_worker_that_dies_leaves_nothing_and_a_daemon_lives_on(tmp_path: Path) -> None:
    """Its processes end with it; those that a living one has let go stay with the generation."""
    write_model(tmp_path / "models", "Session", MODELS["Session"])
    write_model(tmp_path / "models", "Daemon", MODELS["Daemon"])
    with serving(tmp_path, tmp_path / "models", MODELSYNC_WORKERS="1") as service:
        before = set(marked(service.home))
        assert service.post("Daemon").ok
        [daemon] = until(lambda: set(marked(service.home)) - before)
        # The master looks for daemons every few seconds; only what it has seen alive may stay.
        until(lambda: time.time() - daemon.create_time() > 6)
        assert service.post("Session").ok
        [child] = until(lambda: set(marked(service.home)) - before - {daemon})
        parent = child.parent()
        assert parent
        parent.kill()
        until(lambda: not child.is_running())
        assert daemon.is_running()
        assert service.stop() == 0
    gone(service.home)


def test_the_check_leaves_nothing(tmp_path: Path) -> None:
    """Neither what a model starts when it loads, nor what its example starts."""
    folder = write_model(tmp_path / "models", "Session", MODELS["Session"])
    write_example(folder, {})
    write_model(tmp_path / "models", "Loads", MODELS["Loads"])
    home = tmp_path / "home"
    subprocess.run(
        [sys.executable, "-m", "modelsync", "check", str(tmp_path / "models")],
        env=os.environ | {"MODELSYNC_HOME": str(home)},
        check=True,
        capture_output=True,
    )
    gone(home)


@pytest.mark.parametrize("round_", range(3))
def test_a_supervisor_killed_in_mid_update_starts_again_at_once(
    tmp_path: Path, round_: int
) -> None:
    """On the same port, and the update that it ran ends with it."""
    models = tmp_path / "models"
    write_model(models, "Plain", answers(1))
    write_model(models, "Session", MODELS["Session"])
    with serving(tmp_path, models, MODELSYNC_WORKERS="1") as service:
        service.post("Session")
        folder = write_model(
            models, "Slow", model("return {'value': 1}", top="import time; time.sleep(4)")
        )
        write_example(folder, {})
        service.sync()
        until(lambda: [one for one in marked(service.home) if "update" in " ".join(one.cmdline())])
        if round_:
            until(lambda: marked("models.check.child"))
        before = [one for one in marked(service.home) if one.pid != service.process.pid]
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
        began = time.monotonic()
        with serving(
            tmp_path, models, MODELSYNC_WORKERS="1", MODELSYNC_PORT=str(service.port)
        ) as again:
            assert again.post("Plain").json() == {"value": 1}
            until(lambda: not any(one.is_running() for one in before), message=str(before))
            assert again.stop() == 0
        assert time.monotonic() - began < 60
    gone(service.home)
