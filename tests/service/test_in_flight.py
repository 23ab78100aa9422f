"""How many requests are in flight, as an autoscaler reads it from `/metrics`."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path

from tests.fixtures.service import Service, serving, write_model

SLOW = """\
import time


class Slow:
    def transform_predict(self):
        time.sleep(0.1)
        return {}
"""


def seconds(service: Service) -> float:
    """The time that all requests so far have taken."""
    found = re.search(
        r'^modelsync_request_duration_seconds_sum{model="Slow"} (\S+)$',
        service.get("/metrics").text,
        re.MULTILINE,
    )
    return float(found[1]) if found else 0.0


def test_the_rate_of_their_time_is_their_number(tmp_path: Path) -> None:
    """Those that wait for the one thread are included: six clients are six, not one call."""
    write_model(tmp_path / "models", "Slow", SLOW)
    few = {"MODELSYNC_WORKERS": "1", "MODELSYNC_THREADS": "1"}
    with serving(tmp_path, tmp_path / "models", env=few) as service:
        service.post("Slow")
        ended = threading.Event()

        def ask() -> None:
            while not ended.is_set():
                service.post("Slow")

        clients = [threading.Thread(target=ask) for _ in range(6)]
        before, began = seconds(service), time.monotonic()
        for client in clients:
            client.start()
        ended.wait(4)
        ended.set()
        for client in clients:
            client.join()
        mean = (seconds(service) - before) / (time.monotonic() - began)
        assert 4.5 < mean < 6.5
