"""Models that hang without giving up the interpreter: nothing in their worker can end them."""

from __future__ import annotations

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil
import pytest
import requests

from tests.fixtures.service import Service, answers, serving, write_example, write_model
from tests.service.faulty import Client, model
from tests.waiting import patient, setting, until

pytestmark = pytest.mark.long

DEADLINE = patient(2)

HANGS = {
    "Regex": "import re; re.match(r'(a+)+$', 'a' * 46 + 'b')",
    "Power": "return {'value': 10 ** 10 ** 9 % 7}",
    "Blocked": "import ctypes; ctypes.PyDLL(None).sleep(600)",
}
"""`Blocked` uses no processor meanwhile."""


def hanging(name: str, where: str) -> str:
    """A model that hangs if it gets variables; slow enough for a thread, or called in the loop."""
    slow = "import time; time.sleep(0.06)\n" if where == "thread" else ""
    return model(f"{slow}if not variables: return {{'value': 1}}\n{HANGS[name]}")


@pytest.mark.parametrize(
    ("name", "where"), [("Regex", "loop"), ("Power", "thread"), ("Blocked", "loop")]
)
def test_a_worker_without_a_pulse_is_replaced_and_its_model_moved(
    tmp_path: Path, name: str, where: str
) -> None:
    """Soon after the deadline all others are served (after a second, on a machine with nothing
    else to do); the model is called elsewhere from then on, also after a restart.
    """
    models = tmp_path / "models"
    folder = write_model(models, name, hanging(name, where))
    write_example(folder, {})
    write_model(models, "Quick", answers(1))
    settings = {"MODELSYNC_WORKERS": "1", "MODELSYNC_PREDICT_TIMEOUT": setting(2)}
    with serving(tmp_path, models, env=settings) as service, ThreadPoolExecutor() as pool:
        client = Client(service)
        for _ in range(3):
            assert client.value(name) == 1
        began = time.monotonic()
        hang = pool.submit(client.post, name, {"hang": 1})
        until(lambda: deaf(service))
        assert client.get("/livez").status_code == 200
        assert time.monotonic() - began < DEADLINE + patient(8)
        assert isinstance(hang.exception(), requests.ConnectionError)
        assert client.value("Quick") == 1
        [moved] = until(lambda: service.lines(event="model_moved", model=name))
        assert "held the interpreter" in moved["message"]
        [end] = service.lines(event="worker_ended")
        assert (end["deaf"], end["calling"], end["how"]) == (True, [name], "SIGABRT")
        until(lambda: client.value(name) == 1)
        remembered = json.loads((service.home / "placements.json").read_text())
        assert [key.split()[0] for key in remembered] == [name]
        assert service.stop() == 0
    with serving(tmp_path, models, env=settings) as service:
        assert Client(service).value(name) == 1
        assert (service.home / "placements.json").exists()


def serves(client: Client, name: str) -> bool:
    """Whether a model answers."""
    return bool(client.value(name) == 1)


def deaf(service: Service) -> bool:
    """Whether the service does not answer at once."""
    try:
        requests.get(f"{service.url}/livez", timeout=0.3)
    except requests.Timeout:
        return True
    return False


def test_a_worker_that_is_stopped_or_only_busy_keeps_running(tmp_path: Path) -> None:
    """SIGSTOP, as of a debugger, and calls that compute in Python or outside of the interpreter."""
    models = tmp_path / "models"
    busy = "end = time.time() + 3\nwhile time.time() < end: zlib.crc32(bytes(10 ** 7))"
    write_model(models, "Busy", model(busy, top="import time, zlib"))
    settings = {"MODELSYNC_WORKERS": "1", "MODELSYNC_PREDICT_TIMEOUT": "1s"}
    with serving(tmp_path, models, env=settings) as service:
        client = Client(service)
        worker = psutil.Process(client.worker())
        assert client.post("Busy").status_code == 504
        worker.send_signal(signal.SIGSTOP)
        time.sleep(3)
        worker.send_signal(signal.SIGCONT)
        assert client.worker() == worker.pid
        assert service.lines(event="worker_ended") == []


def test_many_swaps_at_once_are_one(tmp_path: Path) -> None:
    """Models that are moved together cause few new generations, and no request of others fails."""
    models = tmp_path / "models"
    for number in range(3):
        write_model(models, f"Hang{number}", hanging("Regex", "loop"))
    write_model(models, "Quick", answers(1))
    settings = {"MODELSYNC_WORKERS": "2", "MODELSYNC_PREDICT_TIMEOUT": setting(1)}
    with serving(tmp_path, models, env=settings) as service, ThreadPoolExecutor() as pool:
        client = Client(service)
        hangs = [pool.submit(client.post, f"Hang{number}", {"hang": 1}) for number in range(3)]
        until(lambda: len(service.lines(event="model_moved")) >= 2)
        assert not any(hang.exception() is None and hang.result().ok for hang in hangs)
        for number in range(3):
            until(partial(serves, client, f"Hang{number}"))
        assert client.value("Quick") == 1
        assert len(service.lines(event="swap")) <= 6
