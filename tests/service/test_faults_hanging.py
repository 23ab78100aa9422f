"""Models that never end their calls: each is answered at its deadline, and the others are served
meanwhile.
"""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.fixtures.load import load
from tests.fixtures.service import answers, serving, write_model
from tests.service.faulty import Client, model
from tests.waiting import patient, setting, told, until

DEADLINE = patient(1)
"""Seconds after which a call is answered with 504."""

HANGS = {
    "Sleeps": model("import time; time.sleep(600)"),
    "Spins": model("while True: pass"),
    "Spins2": model("while True:\n    try:\n        while True: pass\n    except Exception: pass"),
    "Waits": model("import asyncio; await asyncio.sleep(600)", kind="async def"),
    "Forever": model(
        "import asyncio; await asyncio.get_running_loop().create_future()", kind="async def"
    ),
    "Deaf": model(
        "import asyncio\nwhile True:\n    try: await asyncio.sleep(600)\n"
        "    except BaseException: pass",
        kind="async def",
    ),
    "Blocks": model(f"import time; time.sleep({DEADLINE * 3})\nreturn {{}}", kind="async def"),
    "Alone": model("self.n = 1\nif variables: import time; time.sleep(600)\nreturn {'value': 1}"),
}
"""`Alone` writes to itself, so one call at a time: the second one is never made, and a call that
hangs must not hold later ones.
"""

NEVER_ENDS = {"Sleeps", "Alone", "Deaf"}
"""Their calls go on after the deadline, and count as in flight: nothing in Python can end them."""


@pytest.fixture(scope="module")
def hanging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("hanging")
    models = folder / "models"
    for name, code in HANGS.items():
        write_model(models, name, code)
    write_model(models, "Quick", answers(1))
    write_model(models, "QuickAsync", model(kind="async def"))
    settings = {
        "MODELSYNC_PREDICT_TIMEOUT": setting(1),
        "MODELSYNC_WORKERS": "1",
        "MODELSYNC_THREADS": "16",
    }
    with serving(folder, models, env=settings) as service:
        client = Client(service)
        yield client
        assert client.leaks() == []
        assert service.stop(30) == 0


@pytest.mark.parametrize("name", HANGS)
def test_a_hang_is_answered_at_its_deadline(hanging: Client, name: str) -> None:
    """504, and neither the other models nor the worker wait for it."""
    worker = hanging.worker()
    with ThreadPoolExecutor() as pool:
        hangs = [pool.submit(hanging.problem, name, 504, {"hang": 1}) for _ in range(2)]
        while not all(hang.done() for hang in hangs):
            assert hanging.value("Quick") == 1
        assert all(f"no answer within {told(1)}" in hang.result()["detail"] for hang in hangs)
    left = 0 if name not in NEVER_ENDS else 1 if name == "Alone" else 2
    until(lambda: f'in_flight{{model="{name}"}} {left}.0' in hanging.get("/metrics").text)
    if name == "Alone":
        assert hanging.value("Alone") == 1
    assert until(lambda: hanging.post("QuickAsync").status_code == 200)
    assert hanging.worker() == worker


def test_more_hangs_than_threads_replace_the_worker(tmp_path: Path) -> None:
    """Requests of other models are answered all the time; the new worker has all its threads."""
    models = tmp_path / "models"
    write_model(models, "Sleeps", HANGS["Sleeps"])
    write_model(models, "Quick", answers(1))
    settings = {
        "MODELSYNC_PREDICT_TIMEOUT": setting(1),
        "MODELSYNC_WORKERS": "1",
        "MODELSYNC_THREADS": "3",
    }
    with serving(tmp_path, models, MODELSYNC_DRAIN_TIMEOUT=setting(5), env=settings) as service:
        client = Client(service)
        worker = client.worker()
        with load(
            service.port, "/models/Quick", b'{"variables": {}}', connections=2, check=quick
        ) as tally:
            with ThreadPoolExecutor() as pool:
                answers_ = list(pool.map(lambda _: client.post("Sleeps").status_code, range(6)))
            until(lambda: client.worker() != worker, 10)
            answered = tally.answered
            until(lambda: tally.answered > answered + 50)
        assert set(answers_) == {504}
        assert tally.failures == []
        assert 'code="lost"' not in client.get("/metrics").text
        assert service.stop() == 0


def quick(status: int, headers: dict[str, str], body: bytes) -> str | None:
    """A quick model may wait for a thread while all hang; its answer is never lost."""
    return None if status in (200, 504) else f"{status} {body!r}"


def test_a_hang_keeps_no_other_model_until_its_deadline(hanging: Client) -> None:
    """Beside calls that spin until then, a quick model answers in a fraction of that time."""
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            hanging.post("Spins")

    spinning = threading.Thread(target=spin)
    spinning.start()
    try:
        until(lambda: 'in_flight{model="Spins"} 1.0' in hanging.get("/metrics").text)
        times = durations(hanging, calls=100)
    finally:
        stop.set()
        spinning.join()
    assert statistics.median(times) < DEADLINE / 10
    assert max(times) < DEADLINE


def durations(client: Client, calls: int) -> list[float]:
    """Seconds that each of these calls of a quick model has taken."""
    times = []
    with requests.Session() as session:
        for _ in range(calls):
            start = time.perf_counter()
            answer = session.post(
                f"{client.service.base}/Quick", json={"variables": {}}, timeout=patient(30)
            )
            times.append(time.perf_counter() - start)
            assert answer.status_code == 200
    return times
