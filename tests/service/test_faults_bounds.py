"""Exceptions and wrong bodies that could cost seconds and gigabytes: the others notice nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
import requests

from tests.fixtures.service import Service, serving, write_example, write_model
from tests.server.talking import connect, post, read_reply
from tests.service.faulty import Client, model
from tests.waiting import patient, until

T = TypeVar("T")

STALL = 0.25
"""Seconds that other clients may wait."""

LINE = 100_000
"""Characters of a line of the log, of which a model may fill the message and the traceback."""

LARGE = {"x": "y" * 9_000_000}

RAISES = {
    "Quotes": "raise ValueError(f'bad input {variables}')",
    "Holds": "raise ValueError(variables)",
    "Keyed": "raise KeyError(variables['x'])",
    "Chained": "try:\n    raise KeyError(variables['x'])\nexcept KeyError as error:\n"
    "    raise ValueError(variables) from error",
    "Grouped": "raise ExceptionGroup('many', [ValueError(n) for n in range(100_000)])",
    "Recursive": "import sys\nsys.setrecursionlimit(50_000)\n"
    "def f(n):\n    return f(n + 1)\nreturn f(0)",
    "Noted": "error = ValueError('noted')\nerror.add_note(variables['x'])\nraise error",
    "Logs": "import logging\nlogging.getLogger(__name__).error('got %s', variables)\n"
    "raise ValueError",
    "Exits": "class E(Exception):\n    def __str__(self):\n        raise SystemExit(3)\nraise E",
}
SLOW = (
    "import time\nclass Slow(Exception):\n    def __str__(self):\n        time.sleep(10)\n"
    "        return 'at last'\nraise Slow"
)
LISTED = (
    "class Listed:\n    def transform_predict(self, xs: list[int]):\n"
    "        return {'n': len(xs)}\n"
)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("bounds")
    models = folder / "models"
    for name, code in (RAISES | {"Slow": SLOW}).items():
        write_model(models, name, model(code))
    write_example(write_model(models, "Listed", LISTED), {"xs": [1]}, {"n": 1})
    write_example(write_model(models, "Fine", model()), {}, {"value": 1})
    with serving(folder, models, MODELSYNC_WORKERS="1") as service:
        client = Client(service)
        yield client
        assert client.leaks() == []


class Neighbour:
    """A client of another model: the longest time for which it waited for an answer, in seconds."""

    def __init__(self, service: Service) -> None:
        self.longest = 0.0
        self._port = service.port
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask)

    def __enter__(self) -> Neighbour:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _ask(self) -> None:
        request = post("/models/Fine", b'{"variables": {}}')
        with connect(self._port) as sock:
            stream = sock.makefile("rb")
            while not self._ended.wait(0.005):
                started = time.monotonic()
                sock.sendall(request)
                assert read_reply(stream).status == 200
                self.longest = max(self.longest, time.monotonic() - started)


def without_stalls(service: Service, act: Callable[[], T]) -> T:
    """Do something while another client asks; it must wait for at most `STALL` seconds.

    Several times if need be: what else runs on the machine may make it wait, too.
    """
    for _ in range(5):
        with Neighbour(service) as neighbour:
            result = act()
        if neighbour.longest < patient(STALL):
            return result
    raise AssertionError(f"the neighbour waits for {neighbour.longest:.3f} s, each time")


def lines_about(service: Service, request_id: str) -> list[str]:
    """The lines of the log that have this request's id."""
    with service.log.open() as file:
        return [line for line in file if request_id in line]


@pytest.mark.parametrize("name", RAISES)
def test_an_exception_is_answered_small_and_soon(client: Client, name: str) -> None:
    """Whatever it quotes, leads to or consists of; the log has its traceback in one short line."""
    service = client.service
    started = time.monotonic()
    answer = client.post(name, LARGE, headers={"X-Request-ID": f"bounded-{name}"})
    assert time.monotonic() - started < patient(5)
    assert answer.status_code == 500
    assert len(answer.content) < 2000
    until(lambda: len(lines_about(service, f"bounded-{name}")) == 2)
    lines = lines_about(service, f"bounded-{name}")
    assert all(len(line) < LINE for line in lines)
    assert "Traceback" in "".join(lines)
    without_stalls(service, lambda: client.post(name, LARGE))


def test_a_message_that_takes_its_time_is_left_out(client: Client) -> None:
    """Its request is answered after a second without it; the others wait for nothing."""

    def ask() -> tuple[list[requests.Response], float]:
        started = time.monotonic()
        with ThreadPoolExecutor() as pool:
            found = list(pool.map(lambda _: client.post("Slow"), range(4)))
        return found, time.monotonic() - started

    answers, seconds = without_stalls(client.service, ask)
    assert [answer.status_code for answer in answers] == [500] * 4
    assert {answer.json()["detail"] for answer in answers} == {
        "Slow: (its message cannot be shown)"
    }
    assert seconds < patient(8)
    assert client.post("Exits").status_code == 500  # others are explained


def test_millions_of_wrong_items_cost_little(client: Client) -> None:
    """Eight requests at once, each with 2.4 million of them: 422 that names the first one, without
    gigabytes, and nobody is switched off.
    """
    service = client.service
    [worker] = service.workers()
    before, most = worker.memory_info().rss, 0
    body = b'{"variables": {"xs": [' + b",".join([b'"a"'] * 2_400_000) + b"]}}"

    def ask(_: int) -> requests.Response:
        headers = {"Content-Type": "application/json"}
        url = f"{service.base}/Listed"
        return requests.post(url, data=body, headers=headers, timeout=patient(60))

    without_stalls(service, lambda: ask(0))
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(ask, number) for number in range(8)]
        while not all(one.done() for one in asked):
            most = max(most, worker.memory_info().rss - before)
            time.sleep(0.01)
    answers = [one.result() for one in asked]
    assert {answer.status_code for answer in answers} <= {422, 503}
    first = next(answer for answer in answers if answer.status_code == 422)
    assert first.json()["errors"][0]["field"] == "xs.0"
    assert all(len(answer.content) < 10_000 for answer in answers)
    assert most < 700 * 1024**2
    assert client.about("Fine")["switched_off"] is False
    assert service.workers() == [worker]


def test_a_few_wrong_items_are_all_named(client: Client) -> None:
    """As ever; of very many the first hundred."""
    found = client.post("Listed", {"xs": [1, "a", 2, "b"]}).json()["errors"]
    assert [one["field"] for one in found] == ["xs.1", "xs.3"]
    found = client.post("Listed", {"xs": ["a"] * 1000}).json()["errors"]
    assert len(found) == 101
    assert found[-1]["message"] == "900 more values do not fit"


def test_a_large_body_that_fits_is_answered(client: Client) -> None:
    """Outside of the event loop, although the model runs in it."""
    numbers = {"xs": list(range(1_000_000))}
    answer = without_stalls(client.service, lambda: client.post("Listed", numbers))
    assert answer.json() == {"n": 1_000_000}
