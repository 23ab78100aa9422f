"""Whatever a model does, at import, in `__init__`, in `start`, in a call, a second later or at its
end, and wherever it runs: the calls of its neighbours succeed.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.fixtures.load import Tally, load
from tests.fixtures.service import Service, answers, serving, write_model
from tests.waiting import patient, setting, until

pytestmark = [pytest.mark.isolation, pytest.mark.timeout(900)]

DOES = {
    "Raises": "raise ValueError('x' * 100)",
    "Exits": "sys.exit(3)",
    "Interrupts": "raise KeyboardInterrupt",
    "Ends": "os._exit(4)",
    "Crashes": "ctypes.string_at(0)",
    "Aborts": "os.abort()",
    "Kills": "os.kill(os.getpid(), signal.SIGKILL)",
    "Terminates": "os.kill(os.getpid(), signal.SIGTERM)",
    "Loops": "while True: pass",
    "Sleeps": "time.sleep(10**6)",
    "HoldsGil": "re.match(r'(a+)+$', 'a' * 46 + 'b')",
    "Recurses": "(lambda f: f(f))(lambda f: f(f))",
    "Forks": "os.fork()",
    "StartsThreads": "[threading.Thread(target=time.sleep, args=(99,)).start() for _ in range(50)]",
    "StartsProcess": "subprocess.Popen(['sleep', '999'], start_new_session=True)",
    "SetsAlarm": "signal.setitimer(signal.ITIMER_REAL, 0.5)",
    "LimitsFiles": "resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))",
    "ClosesFiles": "os.closerange(3, 200)",
    "ReplacesOpen": "builtins.open = None; json.dumps = None; socket.socket = None",
    "Prints": "print('x' * 1_000_000)",
    "Leaves": "os.chdir('/'); sys.path.clear(); os.environ.clear(); logging.disable()",
    "Switches": "sys.setswitchinterval(30)",
}

IMPORTS = (
    "import builtins, ctypes, json, logging, os, re, resource, signal, socket, subprocess, sys\n"
    "import threading, time\n"
)

PREDICT = "    def transform_predict(self):\n        return {{'y': 1}}\n"

CODE = {
    "Import": "{does}\nclass {name}:\n" + PREDICT,
    "Init": ("class {name}:\n    def __init__(self):\n        {does}\n" + PREDICT),
    "Start": ("class {name}:\n    def start(self):\n        {does}\n" + PREDICT),
    "Call": (
        "class {name}:\n    def transform_predict(self):\n"
        "        {does}\n        return {{'y': 1}}\n"
    ),
    "Later": (
        "class {name}:\n    def _later(self):\n        {does}\n"
        "    def transform_predict(self):\n"
        "        threading.Timer(0.5, self._later).start()\n        return {{'y': 1}}\n"
    ),
    "Stop": ("class {name}:\n    def stop(self):\n        {does}\n" + PREDICT),
}

LOST_WITH_A_WORKER = {"Ends", "Crashes", "Aborts", "Kills", "Terminates", "ClosesFiles", "Recurses"}
"""Without an example the check cannot know: the first such call ends its worker, and with it the
requests that this worker is answering. Where each model has a runner, not even those are lost."""


FLOORS = os.environ.get("MODELSYNC_TEST_FLOORS") or "auto model"


@pytest.mark.parametrize("floor", FLOORS.split())
@pytest.mark.parametrize("when", CODE)
def test_neighbours_are_answered(
    tmp_path: Path, when: str, floor: str, record_property: Callable[[str, object], None]
) -> None:
    """No request of a neighbour fails, from the push of such models to their removal."""
    models = tmp_path / "models"
    write_model(models, "Good", answers(1, "Good"))
    settings = {
        "MODELSYNC_PREDICT_TIMEOUT": setting(2),
        "MODELSYNC_CHECK_TIMEOUT": setting(3),
        "MODELSYNC_ISOLATION": floor,
    }
    with serving(tmp_path, models, env=settings) as service:
        before = quiet(service)
        names = [f"{what}{when}" for what in DOES]
        for name, does in zip(names, DOES.values(), strict=True):
            write_model(models, name, IMPORTS + CODE[when].format(name=name, does=does))
        with load(service.port, "/models/Good", b'{"variables": {}}', pause=0.005) as tally:
            service.sync()
            until(lambda: set(names) <= service.release()["models"].keys(), 180)
            until(lambda: served(service, names), 60)
            call(service, names)
            for name in names:
                (models / name / "etls.py").unlink()
                (models / name).rmdir()
            service.sync()
            until(lambda: service.get(f"/models/{names[0]}").status_code == 404, 120)
        figures = f"{tally.answered} answers, {len(tally.failures)} failed"
        latency = f"p99 {tally.p99 * 1000:.1f} ms, alone {before.p99 * 1000:.1f} ms"
        record_property("figures", f"{when}, {floor}: {figures}, {latency}")
        if floor == "auto" and when in ("Call", "Later"):
            # Each of these may take one or two workers along before it is moved to a runner.
            assert len(tally.failures) <= 32 * 2 * len(LOST_WITH_A_WORKER), tally.failures[:5]
        else:
            assert tally.failures == []
        assert service.post("Good").json() == {"value": 1}


def quiet(service: Service) -> Tally:
    """The neighbour's answers while nothing else happens."""
    with load(service.port, "/models/Good", b'{"variables": {}}', pause=0.005) as tally:
        time.sleep(patient(1))
    assert tally.failures == []
    return tally


def served(service: Service, names: list[str]) -> bool:
    """Whether the generation that knows these models has taken over."""
    return all(service.get(f"/models/{name}").status_code == 200 for name in names[:3])


def call(service: Service, names: list[str]) -> None:
    """Call each model four times, four at once; whatever it answers."""

    def one(name: str) -> None:
        try:
            service.post(name)
        except requests.ConnectionError:  # its worker is gone
            return

    with ThreadPoolExecutor(4) as clients:
        list(clients.map(one, itertools.chain.from_iterable([name] * 4 for name in names)))
