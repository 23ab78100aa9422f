"""One service for all tests of the wire: nothing that a client sends may harm the next one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fixtures.service import Service, serving, write_example, write_model
from tests.waiting import patient, setting

DEADLINE = patient(3)
"""Seconds that a prediction may take."""

MODELS = {
    "Echo": "class Echo:\n    def transform_predict(self, variables: dict):\n"
    "        return variables\n",
    "Slow": (
        "import time\nclass Slow:\n    def transform_predict(self, variables: dict):\n"
        "        time.sleep(float(variables.get('seconds', 0.3)))\n        return {'slept': True}\n"
    ),
    "Busy": (
        "import time\nclass Busy:\n    def transform_predict(self, variables: dict):\n"
        "        end = time.thread_time() + 0.001\n        while time.thread_time() < end:\n"
        "            pass\n"
        "        return {}\n"
    ),
    "Large": "class Large:\n    def transform_predict(self, n: int = 1000):\n"
    "        return {'text': 'x' * n}\n",
}


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("wire")
    for name, code in MODELS.items():
        write_model(folder / "models", name, code)
    # Measured by the check, so called in the event loop; the others are not, so they start in
    # threads.
    write_example(folder / "models" / "Echo", {"a": 1}, {"a": 1})
    write_example(folder / "models" / "Busy", {})
    with serving(
        folder,
        folder / "models",
        MODELSYNC_WORKERS="1",
        MODELSYNC_ACCESS_LOG="all",
        MODELSYNC_PREDICT_TIMEOUT=setting(3),
        MODELSYNC_THREADS="8",
        MODELSYNC_MAX_QUEUE="16",
    ) as running:
        yield running
