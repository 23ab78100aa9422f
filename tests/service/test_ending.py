"""Ctrl-C and SIGTERM: requests in flight finish, whoever cannot wait says so a second time, and
nothing is left.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from tests.fixtures.service import Service, serving, write_model
from tests.service.faulty import model
from tests.waiting import patient, until

WAITING = "waiting for requests in flight, at most 30 s; Ctrl-C again ends at once"


def runs(process: psutil.Process) -> bool:
    """Whether it lives; who has adopted it may not have taken notice of its end."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def in_flight(folder: Path) -> Iterator[tuple[Service, Future[requests.Response], Path]]:
    """A service whose model has been called and answers once the file is there."""
    go, called = folder / "go", folder / "called"
    wait = f"import pathlib, time\npathlib.Path({str(called)!r}).touch()\n"
    wait += (
        f"while not pathlib.Path({str(go)!r}).exists():\n    time.sleep(0.02)\n"
        f"return {{'value': 1}}"
    )
    write_model(folder / "models", "Waits", model(wait))
    with (
        ThreadPoolExecutor(1) as client,
        serving(folder, folder / "models", MODELSYNC_LOG_FORMAT="text") as service,
    ):
        answer = client.submit(service.post, "Waits")
        until(called.exists)
        yield service, answer, go


def test_a_request_in_flight_finishes(tmp_path: Path) -> None:
    """The log says what is waited for, and in its last line that it is over."""
    with in_flight(tmp_path) as (service, answer, go):
        service.process.send_signal(signal.SIGINT)
        until(lambda: WAITING in service.log.read_text())
        go.touch()
        assert answer.result(patient(30)).json() == {"value": 1}
        assert service.process.wait(patient(30)) == 0
        assert service.log.read_text().rstrip().endswith("ended")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_at_once(tmp_path: Path, number: signal.Signals) -> None:
    """The client learns that nobody answers; no process is left."""
    with in_flight(tmp_path) as (service, answer, _):
        family = psutil.Process(service.process.pid).children(recursive=True)
        service.process.send_signal(number)
        until(lambda: WAITING in service.log.read_text())
        service.process.send_signal(number)
        assert service.process.wait(patient(20)) == 0
        assert service.log.read_text().rstrip().endswith("ended")
        assert "Traceback" not in service.log.read_text()
        assert isinstance(answer.exception(patient(20)), requests.ConnectionError)
        until(lambda: not any(map(runs, family)), 10)
