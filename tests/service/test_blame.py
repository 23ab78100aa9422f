"""What a model leaves behind acts later, in the call of another: that other is never to blame."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.fixtures.service import serving, write_example, write_model
from tests.service.faulty import Client, model
from tests.waiting import until

EXITS = "import os, threading; threading.Timer(0.3, os._exit, [1]).start()\nreturn {'value': 1}"

CRASHES = """
import ctypes, threading
threading.Timer(0.3, crash).start()
return {'value': 1}
"""

WAITS = """
import ctypes
from concurrent.futures import ThreadPoolExecutor
ThreadPoolExecutor(1).submit(ctypes.string_at, 0).result()
"""

TERMINATES = """
import os, signal, threading
if variables: threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGTERM]).start()
return {'value': os.getpid()}
"""

RINGS = """
def ring(*_): raise TimeoutError("too late")
signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.3)
return {'value': 1}
"""

MODELS = {
    "Exits": model(EXITS),
    "Crashes": model(CRASHES, top="def crash():\n    import ctypes; ctypes.string_at(0)"),
    "Waits": model(WAITS),
    "Terminates": model(TERMINATES),
    "Rings": model(RINGS, top="import signal"),
    "Alarm": model("signal.alarm(1)\nreturn {'value': 1}", top="import signal"),
    "Profiles": model(
        "signal.setitimer(signal.ITIMER_PROF, 0.01)\nreturn {'value': 1}", top="import signal"
    ),
    "Early": model(top="import signal", init="signal.alarm(1)"),
    "Beside": model("import time; time.sleep(variables['seconds'])\nreturn {'value': 1}"),
    "Spins": model(
        "import time; end = time.time() + variables['seconds']\n"
        "while time.time() < end: pass\nreturn {'value': 1}"
    ),
    "Odd": model(
        "raise Strange()",
        top="class Meta(type):\n"
        "    def __getattribute__(cls, name): raise SystemExit(3)\n"
        "    def __instancecheck__(cls, one): raise SystemExit(3)\n"
        "class Strange(Exception, metaclass=Meta):\n"
        "    def __str__(self): raise SystemExit(3)\n"
        "    __repr__ = __str__",
    ),
}

IN_LOOP = {"Rings", "Alarm", "Profiles"}
"""The check measures that they are fast; only the main thread may set handlers of signals."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("blame")
    for name, code in MODELS.items():
        made = write_model(folder / "models", name, code)
        if name in IN_LOOP:
            write_example(made, {})
    with serving(folder, folder / "models", MODELSYNC_WORKERS="1") as service:
        client = Client(service)
        yield client
        for name in ("Beside", "Spins"):
            assert client.about(name)["switched_off"] is False
        assert service.stop() == 0


@pytest.mark.parametrize(("name", "blamed"), [("Exits", []), ("Crashes", ["Crashes"])])
def test_a_thread_left_behind_ends_the_worker(client: Client, name: str, blamed: list[str]) -> None:
    """Its maker is blamed, or nobody; never the model that was called meanwhile."""
    before = len(client.service.lines(event="worker_ended"))
    with ThreadPoolExecutor() as pool:
        assert client.value(name) == 1
        beside = pool.submit(client.post, "Beside", {"seconds": 60})
        assert isinstance(beside.exception(), requests.ConnectionError)
    ends = until(lambda: client.service.lines(event="worker_ended")[before:])
    assert [end["calling"] for end in ends] == [blamed]


def test_a_thread_of_a_library_ends_the_worker(client: Client) -> None:
    """The model that waits for it is blamed, although no line of its code is on that stack."""
    with ThreadPoolExecutor() as pool:
        beside = pool.submit(client.post, "Beside", {"seconds": 60})
        until(lambda: 'in_flight{model="Beside"} 1.0' in client.get("/metrics").text)
        with pytest.raises(requests.ConnectionError):
            client.post("Waits")
        assert isinstance(beside.exception(), requests.ConnectionError)
    [end] = until(lambda: client.service.lines(event="worker_ended", calling=["Waits"]))
    assert end["how"] == "SIGSEGV"


def test_a_thread_left_behind_sends_sigterm(client: Client) -> None:
    """Its process answers what it has, and another takes its place."""
    before = len(client.service.lines(event="worker_ended"))
    pid = client.value("Terminates", {"end": 1})
    assert client.value("Beside", {"seconds": 1}) == 1
    assert until(lambda: client.value("Terminates") != pid)
    assert len(client.service.lines(event="worker_ended")) == before


@pytest.mark.parametrize("name", ["Rings", "Alarm", "Profiles", "Early"])
@pytest.mark.parametrize("beside", ["Beside", "Spins"])
def test_an_alarm_rings_in_no_other_call(client: Client, name: str, beside: str) -> None:
    """With a handler and without, set in a call or as the model loads: it ends with that."""
    worker = client.worker()
    assert client.value(name) == 1
    assert client.value(beside, {"seconds": 1.2}) == 1
    assert client.worker() == worker


def test_an_exception_whose_every_part_exits(client: Client) -> None:
    """Its request is answered 500, and the worker goes on."""
    worker = client.worker()
    for _ in range(3):
        assert client.post("Odd").status_code == 500
    assert client.worker() == worker
