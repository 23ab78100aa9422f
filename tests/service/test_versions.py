"""Fitted versions move in a running service: every answer comes from one version, and says which;
no request fails.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.fixtures.load import load
from tests.fixtures.service import Service, serving, write_example, write_model
from tests.fixtures.versions import STORE_AWAY, Versions
from tests.waiting import until

BODY = b'{"variables": {}}'

TRAINED = """
class {name}:
    model = 0

    def fit(self, x, y=None, **params):
        return len(x)

    def transform_predict(self):
        return {{"value": self.model}}
"""

MODELS = {
    # in the event loop of the workers
    "Plain": TRAINED.format(name="Plain"),
    # in batches of the event loop
    "Batches": """
class Batches:
    model = 0

    def fit(self, x, y=None):
        return len(x)

    def transform_predict_batch(self, rows: list[dict]):
        return [{"value": self.model} for _ in rows]
""",
    # too slow for the event loop: in threads of the pool
    "Slow": """
import time
class Slow:
    model = 0

    def fit(self, x, y=None):
        return len(x)

    def transform_predict(self):
        time.sleep(0.008)
        return {"value": self.model}
""",
    "Async": """
import asyncio
class Async:
    model = 0

    def fit(self, x, y=None):
        return len(x)

    async def transform_predict(self):
        await asyncio.sleep(0.002)
        return {"value": self.model}
""",
    # one call at a time
    "Writes": """
class Writes:
    model = 0

    def fit(self, x, y=None):
        return len(x)

    def transform_predict(self):
        self.last = self.model
        return {"value": self.last}
""",
    # in a thread of its own in each worker
    "Bound": """
import threading
class Bound:
    model = 0

    def __init__(self, path):
        self.bound = threading.local()
        self.bound.factor = 1

    def fit(self, x, y=None):
        return len(x)

    def transform_predict(self):
        return {"value": self.model * self.bound.factor}
""",
    # in a runner
    "Elsewhere": """
import multiprocessing
class Elsewhere:
    model = 0

    def __init__(self, path):
        multiprocessing.set_start_method("spawn", force=True)

    def fit(self, x, y=None):
        return len(x)

    def transform_predict(self):
        return {"value": self.model}
""",
}
PLACES = {"Bound": "thread", "Elsewhere": "runner"}
WORKERS = 2


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Versions]]:
    """All of them in one service, each with version 1."""
    folder = tmp_path_factory.mktemp("versions")
    versions = Versions(folder / "home")
    for name, code in MODELS.items():
        write_model(folder / "models", name, code)
        write_example(folder / "models" / name, {})
        versions.store(name, 1, 1, call_seconds=0.01 if name == "Slow" else 1e-5)
    versions.serve(**dict.fromkeys(MODELS, 1))
    with serving(folder, folder / "models", env=STORE_AWAY) as service:
        yield service, versions


def version_of(headers: Any) -> int:
    return int(headers["x-modelsync-model-version"].partition("+")[2] or 0)


def truthful(status: int, headers: dict[str, str], body: bytes) -> str | None:
    """An answer must come from the version that it names."""
    if status != 200:
        return f"{status} {body[:200]!r}"
    value, version = json.loads(body)["value"], version_of(headers)
    return None if value == version else f"version {version} answered {value}"


@pytest.mark.parametrize("name", MODELS)
def test_versions_move_under_load(running: tuple[Service, Versions], name: str) -> None:
    """Through several swaps: no request fails, and each is answered by the version it names."""
    service, versions = running
    placement = service.release()["models"][name]["placement"]["place"]
    assert placement == PLACES.get(name, "worker")
    seen = set()

    def check(status: int, headers: dict[str, str], body: bytes) -> str | None:
        seen.add(version_of(headers) if status == 200 else status)
        return truthful(status, headers, body)

    until(lambda: versions.serving(name, 1, WORKERS))
    with load(service.port, f"/models/{name}", BODY, connections=8, check=check) as tally:
        for number in range(2, 7):
            versions.store(name, number, number, call_seconds=0.01 if name == "Slow" else 1e-5)
            versions.serve(**{name: number})
            until(lambda number=number: versions.serving(name, number, WORKERS))  # type: ignore[misc]
            time.sleep(0.02)
    assert tally.failures == []
    assert seen == {1, 2, 3, 4, 5, 6}
