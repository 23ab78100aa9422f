"""Models in a thread of their own in each worker: hangs, deadlines, swaps, `start` and `stop`."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fixtures.load import load
from tests.fixtures.service import Service, serving, write_example, write_model
from tests.waiting import setting, told, until

HOLDER = """
import logging, os, threading, time

log = logging.getLogger(__name__)

class {name}:
    def __init__(self, path):
        self.bound = threading.local()  # which the check finds
        self.bound.made = f"{{os.getpid()}}-{{time.monotonic_ns()}}"
        self.lock = threading.Lock()

    def transform_predict(self, how: str = ""):
        with self.lock:
            {body}
        return {{"made": self.bound.made, "thread": threading.current_thread().name}}
"""

BODIES = {
    "Counts": "pass",
    "Spins": "while how: pass",
    "Sleeps": "time.sleep(3600 if how else 0)",
    "Logs": "while how: log.info('x')",
    "Slow": "time.sleep(0.3)",
}

LOGS_IN_THREADS = """
import logging, time

class LogsInThreads:
    def transform_predict(self, how: str = ""):
        time.sleep(0.02)
        while how:
            logging.getLogger(__name__).info("x")
        return {"y": 1}
"""

LATE = """
import threading

class Late:
    def __init__(self, path):
        self.bound = threading.local()
        self.bound.made = 1

    def transform_predict(self, how: str = ""):
        try:
            while how:
                pass
        finally:
            if how:
                raise ValueError("too late to be answered")
        return {"y": 1}
"""

GOOD = "class Good:\n    def transform_predict(self, x: int = 1):\n        return {'y': x}\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One worker, so that each call reaches the same thread; a deadline of one second."""
    folder = tmp_path_factory.mktemp("own-threads")
    models = folder / "models"
    for name, body in BODIES.items():
        write_model(models, name, HOLDER.format(name=name, body=body))
    for name, code in (("LogsInThreads", LOGS_IN_THREADS), ("Late", LATE), ("Good", GOOD)):
        write_model(models, name, code)
        write_example(models / name, {})
    settings = {"MODELSYNC_WORKERS": "1", "MODELSYNC_PREDICT_TIMEOUT": setting(1)}
    with serving(folder, models, env=settings) as service:
        yield service


def made(service: Service, name: str) -> str:
    answer = service.post(name)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["thread"] == f"modelsync-model-{name}"
    return str(found["made"])


def test_each_call_reaches_the_thread_that_loaded_the_model(service: Service) -> None:
    """Also calls of many clients at once, and those of `/all`."""
    with ThreadPoolExecutor(16) as clients:
        found = set(clients.map(lambda _: made(service, "Counts"), range(100)))
    assert len(found) == 1
    assert service.post("all").json()["Counts"]["made"] in found


def test_its_schema_and_documentation_are_known(service: Service) -> None:
    """It is loaded after the application is made."""
    about = service.get("/models/Counts").json()
    assert list(about["schema"]["properties"]) == ["how"]
    assert "how" in service.get("/models/openapi.json").text


@pytest.mark.parametrize("name", ["Spins", "Logs", "LogsInThreads"])
def test_a_loop_in_python_is_interrupted_and_the_thread_goes_on(
    service: Service, name: str
) -> None:
    """What it held is free again, logging's locks too; the neighbour answers meanwhile."""
    before = service.post(name).json()
    with ThreadPoolExecutor(1) as clients:
        hung = clients.submit(service.post, name, {"how": "loop"})
        while not hung.done():
            assert service.post("Good", {"x": 2}).json() == {"y": 2}
        answer = hung.result()
    assert answer.status_code == 504
    assert answer.json()["detail"].startswith(f"no answer within {told(1)}")
    assert until(lambda: service.post(name).status_code == 200)
    assert service.post(name).json() == before
    workers = [worker.pid for worker in service.workers()]
    assert len(workers) == 1
    assert not service.lines(event="worker_ended")
    # The log still works: the next access to a missing model is written.
    assert until(lambda: service.lines(event="model_thread_replaced", model="Logs") == [])


def test_a_thread_that_hangs_in_c_is_replaced_with_its_locks(service: Service) -> None:
    """Another thread loads the model again; requests that wait meanwhile get its answers."""
    before = made(service, "Sleeps")
    assert service.post("Sleeps", {"how": "sleep"}).status_code == 504
    after = until(lambda: made(service, "Sleeps"))
    assert before != after
    assert before.partition("-")[0] == after.partition("-")[0]  # the same worker
    assert until(lambda: service.lines(event="model_thread_replaced", model="Sleeps"))
    assert service.post("Good", {"x": 2}).json() == {"y": 2}


def test_requests_that_wait_longer_than_the_deadline_are_answered(service: Service) -> None:
    """One call at a time: of eight, three are made in time, and none is made for nobody."""
    with ThreadPoolExecutor(8) as clients:
        found = list(clients.map(lambda _: service.post("Slow").status_code, range(8)))
    assert set(found) == {200, 504}
    assert service.post("Slow").status_code == 200


def test_what_is_raised_after_the_deadline_is_logged(service: Service) -> None:
    """The client has its answer by then."""
    assert service.post("Late", {"how": "loop"}).status_code == 504
    assert until(lambda: service.lines(message="Late raised ValueError"))


# --- swaps ----------------------------------------------------------------------------------------


def test_a_swap_drops_no_request_to_a_thread_of_its_own(tmp_path: Path) -> None:
    """Sixteen clients at full speed, through two pushes."""
    models = tmp_path / "models"

    def push(value: int) -> None:
        write_model(models, "Holder", HOLDER.format(name="Holder", body=f"value = {value}"))

    push(0)
    with serving(tmp_path, models) as service:
        before = service.release()["models"]["Holder"]
        assert before["placement"]["place"] == "thread"
        with load(service.port, "/models/Holder", b'{"variables": {}}', connections=16) as tally:
            for value in (1, 2):
                release = service.release()["id"]
                push(value)
                service.sync()
                until(lambda release=release: service.release()["id"] != release, 30)  # type: ignore[misc]
                service.swapped()
    assert tally.failures == []


# --- start and stop -------------------------------------------------------------------------------

STARTS = """
import os, threading, time
from pathlib import Path

IN_WORKER = b"gunicorn_master" in Path(f"/proc/{{os.getppid()}}/cmdline").read_bytes()
LOG = Path({log!r})

def in_worker():
    return b"gunicorn_master" in Path(f"/proc/{{os.getppid()}}/cmdline").read_bytes()

def say(what):
    if in_worker():
        with LOG.open("a") as file:
            file.write(f"{{os.getpid()}} {{what}}\\n")

class {name}:
    def __init__(self, path):
        self.place = {place}
        self.pid = 0

    {words} start(self):
        say("start {name}")
        self.pid = os.getpid()
        {start}

    {words} stop(self):
        say("stop {name}")
        {stop}

    {words} transform_predict(self):
        return {{"started": self.pid == os.getpid()}}
"""


def write_starting(models: Path, log: Path, name: str, **parts: str) -> None:
    defaults = {"place": "None", "words": "def", "start": "pass", "stop": "pass"}
    write_model(models, name, STARTS.format(name=name, log=str(log), **(defaults | parts)))
    write_example(models / name, {}, {"started": True})


def test_start_and_stop_are_called_in_each_worker_in_each_place(tmp_path: Path) -> None:
    """After the fork, before the first call, once; stop at the end, whatever it raises."""
    models, log = tmp_path / "models", tmp_path / "started"
    write_starting(models, log, "InWorker")
    write_starting(models, log, "Awaited", words="async def")
    write_starting(models, log, "InThread", place="threading.local()", stop="raise SystemExit(3)")
    write_starting(models, log, "StopHangs", stop="time.sleep(3600 if in_worker() else 0)")
    names = ("InWorker", "Awaited", "InThread", "StopHangs")
    with serving(tmp_path, models) as service:
        pids = {str(worker.pid) for worker in service.workers()}
        assert len(pids) == 2
        for name in names:
            for _ in range(6):
                assert service.post(name).json() == {"started": True}, name
        assert service.stop() == 0
    lines = [line.split(" ", 1) for line in log.read_text().splitlines()]
    for pid in pids:
        said = [what for owner, what in lines if owner == pid]
        assert sorted(said[:4]) == sorted(f"start {name}" for name in names)
        assert sorted(said[4:]) == sorted(f"stop {name}" for name in names)


def test_a_start_that_fails_or_hangs_makes_that_model_broken(tmp_path: Path) -> None:
    """By name, with the reason; the others serve, and a later push succeeds. It is tried again."""
    models, log, cured = tmp_path / "models", tmp_path / "started", tmp_path / "cured"
    write_model(models, "Good", GOOD)
    fails = f"if in_worker() and not os.path.exists({str(cured)!r}): raise OSError('no database')"
    hangs = "time.sleep(3600 if in_worker() else 0)"
    local = "threading.local()"
    write_starting(models, log, "Fails", start=fails)
    write_starting(models, log, "FailsInThread", start=fails, place=local)
    write_starting(models, log, "Hangs", start=hangs)
    write_starting(models, log, "HangsInThread", start=hangs, place=local)
    settings = {"MODELSYNC_CHECK_TIMEOUT": setting(4), "MODELSYNC_WORKERS": "1"}
    with serving(tmp_path, models, env=settings) as service:
        assert service.post("Good").json() == {"y": 1}
        for name in ("Fails", "FailsInThread"):
            answer = service.post(name)
            assert answer.status_code == 503
            assert "start: OSError: no database" in answer.json()["detail"]
            assert "no database" in service.get(f"/models/{name}").json()["reason"]
        for name in ("Hangs", "HangsInThread"):
            answer = service.post(name)
            assert answer.status_code == 503
            assert f"within {told(4)}" in answer.json()["detail"]
        cured.touch()
        for name in ("Fails", "FailsInThread"):
            until(lambda name=name: service.post(name).json() == {"started": True})  # type: ignore[misc]
        write_model(models, "Good", GOOD.replace("'y': x", "'y': x + 1"))
        service.sync()
        until(lambda: service.post("Good").json() == {"y": 2})
