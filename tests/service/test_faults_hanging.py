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
from tests.waiting import until

HANGS = {
    "Sleeps": model("import time; time.sleep(600)"),
    "Spins": model("while True: pass"),
    "Spins2": model("while True:\n    try:\n        while True: pass\n    except Exception: pass"),
    "Waits": model("import asyncio; await asyncio.sleep(600)", kind="async def"),
    "Forever": model(
        "import asyncio; await asyncio.get_running_loop().create_future()", kind="async def"
    ),
    "Deaf": model(
        "import asyncio\nwhile True:\n    try: await asyncio.sleep(600)\n    except BaseException: pass",
        kind="async def",
    ),
    "Blocks": model("import time; time.sleep(3)\nreturn {}", kind="async def"),
    "Alone": model("self.n = 1\nif variables: import time; time.sleep(600)\nreturn {'value': 1}"),
}
"""`Alone` writes to itself, so one call at a time; a call that hangs must not hold the next one."""


@pytest.fixture(scope="module")
def hanging(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("hanging")
    models = folder / "models"
    for name, code in HANGS.items():
        write_model(models, name, code)
    write_model(models, "Quick", answers(1))
    write_model(models, "QuickAsync", model(kind="async def"))
    settings = {
        "MODELSYNC_PREDICT_TIMEOUT": "1s",
        "MODELSYNC_WORKERS": "1",
        "MODELSYNC_THREADS": "16",
    }
    with serving(folder, models, **settings) as service:
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
        assert all("no answer within 1 s" in hang.result()["detail"] for hang in hangs)
    until(
        lambda: (
            f'in_flight{{model="{name}"}} 0.0' in hanging.get("/metrics").text
            or name in ("Sleeps", "Alone", "Deaf")
        )
    )
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
        "MODELSYNC_PREDICT_TIMEOUT": "1s",
        "MODELSYNC_WORKERS": "1",
        "MODELSYNC_THREADS": "3",
    }
    with serving(tmp_path, models, MODELSYNC_DRAIN_TIMEOUT="5s", **settings) as service:
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
    """While every thread hangs, a quick model may have to wait for one; its answer is never lost."""
    return None if status in (200, 504) else f"{status} {body!r}"


def test_how_much_a_hang_slows_others_down(hanging: Client) -> None:
    """Reported, not asserted to the millisecond: p99 of a quick model alone, and beside a busy
    loop.
    """
    alone = p99(hanging, 2.0)
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            hanging.post("Spins")

    spinning = threading.Thread(target=spin)
    spinning.start()
    try:
        beside = p99(hanging, 4.0)
    finally:
        stop.set()
        spinning.join()
    print(f"p99: {alone * 1000:.1f} ms alone, {beside * 1000:.1f} ms beside a busy loop")  # noqa: T201
    assert beside < 1.0


def p99(client: Client, seconds: float) -> float:
    times = []
    with requests.Session() as session:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            start = time.perf_counter()
            assert (
                session.post(
                    f"{client.service.base}/Quick", json={"variables": {}}, timeout=10
                ).status_code
                == 200
            )
            times.append(time.perf_counter() - start)
    return statistics.quantiles(times, n=100)[98]
