"""Models in processes of their own, through the running service: they answer as in a worker, and
what they do to their process stays there.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from tests.fixtures.load import load
from tests.fixtures.service import Service, serving, write_example, write_model
from tests.waiting import patient, setting, told, until

pytestmark = pytest.mark.long

TIMEOUT = 2

MODELS = {
    "Sum": """
import os
class Sum:
    def transform_predict(self, a: float, b: float = 1.0):
        return {"y": a + b, "pid": os.getpid()}
""",
    "Faulty": """
import os, re, signal, sys, time
class Faulty:
    def transform_predict(self, do: str):
        if do == "raise": raise ValueError("of no use")
        if do == "leave": sys.exit(3)
        if do == "loop":
            while True: pass
        if do == "regex": re.match(r"(a+)+$", "a" * 46 + "!")
        if do == "hog": bytearray(2 * 1024**3)
        if do == "set": return {"y": {object()}}
        return {"y": do, "pid": os.getpid()}
""",
    "Exits": """
import os
class Exits:
    def transform_predict(self, do: str):
        if do == "exit": os._exit(0)
        return {"y": do}
""",
    "Crashes": """
import ctypes
class Crashes:
    def transform_predict(self, do: str):
        if do == "crash": ctypes.string_at(0)
        return {"y": do}
""",
    "Pool": """
import multiprocessing, os, subprocess
class Pool:
    def transform_predict(self, x: int):
        with multiprocessing.Pool(2) as pool:
            found = pool.map(abs, [x, -x])
        left = subprocess.Popen(["sleep", "1000"], start_new_session=True)
        return {"y": found, "left": left.pid}
""",
    "Batch": """
class Batch:
    def transform_predict_batch(self, rows: list[dict]) -> list:
        return [ValueError("bad row") if row["x"] < 0 else {"y": row["x"]} for row in rows]
""",
    "Rows": """
import itertools, time
class Rows:
    def __init__(self, path):
        self.calls = itertools.count()

    def transform_predict_batch(self, rows: list[dict]) -> list:
        time.sleep(0.2)
        call = next(self.calls)
        return [{"call": call} for _ in rows]
""",
    "Async": """
import asyncio
class Async:
    async def transform_predict(self, x: int):
        await asyncio.sleep(0.01)
        return {"y": x}
""",
    "Runs": """
import asyncio, signal, threading
class Runs:
    def transform_predict(self, x: int):
        signal.alarm(5); signal.alarm(0)
        async def twice(): return 2 * x
        return {"y": asyncio.run(twice()), "main": threading.current_thread().name}
""",
    "Echo": """
class Echo:
    def transform_predict(self, variables):
        return variables
""",
}
EXAMPLES: dict[str, dict[str, Any]] = {
    "Sum": {"a": 1}, "Faulty": {"do": "ok"}, "Exits": {"do": "ok"}, "Crashes": {"do": "ok"},
    "Batch": {"x": 1}, "Rows": {"x": 1}, "Async": {"x": 1}, "Runs": {"x": 1}, "Echo": {"a": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Each model in a process of its own."""
    folder = tmp_path_factory.mktemp("runners")
    for name, code in MODELS.items():
        write_model(folder / "models", name, code)
        if name in EXAMPLES:
            write_example(folder / "models" / name, EXAMPLES[name])
    with serving(
        folder,
        folder / "models",
        MODELSYNC_ISOLATION="model",
        MODELSYNC_PREDICT_TIMEOUT=setting(TIMEOUT),
        MODELSYNC_RUNNER_MEMORY="1GiB",
    ) as service:
        yield service


def post(service: Service, path: str, **variables: object) -> requests.Response:
    return service.post(path, variables)


def runners(service: Service) -> list[psutil.Process]:
    """The runner processes of all living generations."""
    found = [one for master in service.masters() for one in master.children()]
    return [one for one in found if "modelsync.runner" in one.cmdline()]


def test_it_answers_from_a_process_that_is_no_worker(service: Service) -> None:
    found = {post(service, "Sum", a=number).json()["pid"] for number in range(8)}
    assert len(found) == 1
    assert found <= {one.pid for one in runners(service)}
    assert post(service, "Sum", a=2, b=3).json()["y"] == 5.0


def test_what_is_wrong_with_a_request_is_told_as_by_a_worker(service: Service) -> None:
    answer = post(service, "Sum", a="x")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "a"
    answer = requests.post(
        f"{service.base}/Sum",
        data=b'{"variables": {"a": 1,}}',
        headers={"Content-Type": "application/json"},
        timeout=patient(10),
    )
    assert (answer.status_code, answer.json()["position"]) == (400, 21)
    assert "line 1, column 22" in answer.json()["detail"]


def test_an_exception_is_logged_once_with_the_id_of_its_request(service: Service) -> None:
    answer = post(service, "Faulty", do="raise")
    assert answer.status_code == 500
    assert (answer.json()["detail"], answer.json()["error"]) == (
        "ValueError: of no use",
        "ValueError",
    )
    identity = answer.json()["request_id"]
    until(lambda: service.lines(request_id=identity, logger="modelsync.access"))
    [record] = [one for one in service.lines(request_id=identity) if one["level"] == "error"]
    assert "ValueError: of no use" in record["exception"]
    assert record["model"] == "Faulty"
    assert "what JSON cannot hold: y[0]" in post(service, "Faulty", do="set").json()["detail"]
    assert post(service, "Faulty", do="leave").json()["error"] == "SystemExit"


def test_memory_over_the_limit_is_an_error_of_that_call(service: Service) -> None:
    before = post(service, "Faulty", do="ok").json()["pid"]
    answer = post(service, "Faulty", do="hog")
    assert (answer.status_code, answer.json()["error"]) == (500, "MemoryError")
    assert post(service, "Faulty", do="ok").json()["pid"] == before


def test_a_call_beyond_its_deadline_is_interrupted(service: Service) -> None:
    before = post(service, "Faulty", do="ok").json()["pid"]
    answer = post(service, "Faulty", do="loop")
    assert answer.status_code == 504
    assert told(TIMEOUT) in answer.json()["detail"]
    assert until(lambda: post(service, "Faulty", do="ok").json().get("pid")) == before


def test_a_hang_that_holds_the_interpreter_costs_its_own_process_alone(service: Service) -> None:
    before = post(service, "Faulty", do="ok").json()["pid"]
    with load(service.port, "/models/Sum", b'{"variables": {"a": 1}}', connections=4) as tally:
        assert post(service, "Faulty", do="regex").status_code == 504
        assert until(lambda: post(service, "Faulty", do="ok").json().get("pid")) != before
    assert tally.failures == []
    [death] = service.lines(event="runner_ended", runner="Faulty")
    assert (death["deaf"], death["calling"]) == (True, ["Faulty"])


@pytest.mark.parametrize(("model", "do"), [("Exits", "exit"), ("Crashes", "crash")])
def test_a_model_that_ends_its_process_ends_no_other(service: Service, model: str, do: str) -> None:
    with load(service.port, "/models/Sum", b'{"variables": {"a": 1}}', connections=4) as tally:
        answer = post(service, model, do=do)
        assert answer.status_code == 503
        assert answer.json()["detail"].startswith(f"the process of {model} has ended")
        assert answer.headers["Retry-After"] == "1"
        until(lambda: post(service, model, do="ok").json() == {"y": "ok"})
    assert tally.failures == []
    [death] = service.lines(event="runner_ended", runner=model)
    assert death["calling"] == [model]
    assert f'modelsync_requests_total{{code="lost",model="{model}"}} 1.0' in metrics(service)


def metrics(service: Service) -> str:
    return service.get("/metrics").text


def test_a_killed_runner_comes_back_and_nobody_is_blamed(service: Service) -> None:
    before = post(service, "Echo").status_code
    assert before == 200
    victim = next(
        one for one in runners(service) if one.pid == post(service, "Sum", a=1).json()["pid"]
    )
    with load(service.port, "/models/Echo", b'{"variables": {"a": 1}}', connections=4) as tally:
        victim.send_signal(signal.SIGKILL)
        until(lambda: post(service, "Sum", a=1).json().get("pid", victim.pid) != victim.pid)
    assert tally.failures == []
    assert 'modelsync_runner_up{runner="Sum"} 1.0' in metrics(service)
    assert 'modelsync_runner_restarts_total{runner="Sum"} 1.0' in metrics(service)
    [death] = service.lines(event="runner_ended", runner="Sum")
    assert death["how"] == "SIGKILL"


def test_it_may_fork_and_what_it_leaves_ends_with_it(service: Service) -> None:
    answer = post(service, "Pool", x=2).json()
    assert answer["y"] == [2, 2]
    left = psutil.Process(answer["left"])
    left.parent().send_signal(signal.SIGKILL)  # type: ignore[union-attr]
    until(lambda: not left.is_running())


def test_requests_of_both_workers_make_one_batch(service: Service) -> None:
    """What has arrived while the model was busy is answered by one call."""
    with ThreadPoolExecutor(40) as clients:
        found = list(clients.map(lambda x: service.post("Rows", {"x": x}).json(), range(40)))
    assert len({answer["call"] for answer in found}) <= 10


def test_batches_stay_batches_and_a_bad_row_fails_alone(service: Service) -> None:
    with ThreadPoolExecutor(16) as clients:
        found = list(
            clients.map(lambda x: post(service, "Batch", x=x), [-1, *range(200)], chunksize=1)
        )
    assert found[0].status_code == 500
    assert [one.json()["y"] for one in found[1:]] == list(range(200))
    until(lambda: 'modelsync_batch_size_count{model="Batch"}' in metrics(service))


def test_async_models_and_those_that_run_loops_themselves(service: Service) -> None:
    assert post(service, "Async", x=3).json() == {"y": 3}
    assert post(service, "Runs", x=3).json() == {"y": 6, "main": "MainThread"}


def test_large_bodies_and_answers_pass_and_stop_nobody(service: Service) -> None:
    variables = {"text": "x" * 9_000_000}
    with (
        load(service.port, "/models/Sum", b'{"variables": {"a": 1}}', connections=2) as tally,
        ThreadPoolExecutor(4) as clients,
    ):
        for answer in clients.map(lambda _: service.post("Echo", variables), range(4)):
            assert answer.json() == variables
    assert tally.failures == []


def test_all_asks_them_too(service: Service) -> None:
    answer = service.post("all?models=Sum,Echo,Batch", {"a": 1, "x": 2}).json()
    assert answer["Sum"]["y"] == 2.0
    assert answer["Echo"] == {"a": 1, "x": 2}
    assert answer["Batch"] == {"y": 2}


def test_their_environment_holds_no_secret(service: Service) -> None:
    for one in runners(service):
        names = one.environ().keys()
        assert not names & {"gitpassword", "MODELSYNC_ADMIN_TOKENS", "MODELSYNC_SECRETS_FD"}


@pytest.mark.long
@pytest.mark.parametrize("preload", ["true", "false"])
def test_a_new_release_drops_no_request_and_the_end_leaves_nothing(
    tmp_path: Path, preload: str
) -> None:
    """Runners serve until the workers of their generation have answered; then they end."""
    models = tmp_path / "models"
    code = "class M:\n    def transform_predict(self, v):\n        return {'y': 1}\n"
    write_model(models, "M", code)
    with serving(
        tmp_path, models, MODELSYNC_ISOLATION="environment", MODELSYNC_PRELOAD=preload
    ) as service:
        [runner] = runners(service)
        with load(service.port, "/models/M", b'{"variables": {}}', connections=8) as tally:
            write_model(models, "M", code.replace("1", "2"))
            service.sync()
            until(lambda: service.post("M", {}).json() == {"y": 2})
            until(lambda: not runner.is_running())
        assert tally.failures == []
        family = psutil.Process(service.process.pid).children(recursive=True)
        assert service.stop() == 0
    assert [one for one in family if one.is_running()] == []


@pytest.mark.long
def test_a_killed_master_takes_its_runners_along(tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_model(models, "M", MODELS["Echo"].replace("Echo", "M"))
    with serving(tmp_path, models, MODELSYNC_ISOLATION="model") as service:
        [runner] = runners(service)
        service.masters()[0].kill()
        until(lambda: not runner.is_running())
        until(lambda: service.post("M", {"a": 1}).json() == {"a": 1})


def test_what_does_not_load_there_is_not_served_and_the_others_are(tmp_path: Path) -> None:
    """A model that ends or blocks the process while it loads is left out of it, by name."""
    models = tmp_path / "models"
    once = "import os, time\nclass {0}:\n    def __init__(self, path):\n        {1}\n"
    call = "    def transform_predict(self, v):\n        return {'y': 1}\n"
    inside = "if os.environ.get('BREAK'): "
    for name, what in {
        "Ends": f"{inside}os._exit(3)",
        "Hangs": f"{inside}time.sleep(1000)",
        "Good": "pass",
        "Raises": f"{inside}1 / 0",
    }.items():
        write_model(models, name, once.format(name, what) + call)
    with serving(tmp_path, models, MODELSYNC_ISOLATION="environment"):
        pass
    with serving(
        tmp_path,
        models,
        MODELSYNC_ISOLATION="environment",
        MODELSYNC_CHECK_TIMEOUT=setting(3),
        BREAK="1",
    ) as service:
        assert service.post("Good", {}).json() == {"y": 1}
        details = {
            name: service.post(name, {}).json()["detail"] for name in ("Ends", "Hangs", "Raises")
        }
        assert "exit code 3" in details["Ends"]
        assert f"did not load within {told(3)}" in details["Hangs"]
        assert "ZeroDivisionError" in details["Raises"]
