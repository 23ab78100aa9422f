"""A push changes what runs and drops no request; a bad one changes nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import orjson
import pytest

from tests.fixtures.load import load
from tests.fixtures.service import Service, answers, serving, write_model
from tests.waiting import patient, until

BODY = b'{"variables": {}}'
SWAPS = int(os.environ.get("MODELSYNC_TEST_SWAPS", "6"))


class Truth:
    """Which release answers with which value: an answer that mixes two releases is wrong."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}

    def learn(self, service: Service, value: object) -> None:
        self.values[service.release()["commit"]] = value

    def check(self, status: int, headers: dict[str, str], body: bytes) -> str | None:
        release = headers.get("x-modelsync-release", "")
        if status != 200:
            return f"{status} {body[:200]!r}"
        value = orjson.loads(body)["value"]
        # A release that has just begun to answer is learnt from its first answer, and holds every
        # later one to it.
        if self.values.setdefault(release, value) != value:
            return f"{release} answered {value}, not {self.values[release]}"
        return None


def sleeping(seconds: float) -> str:
    return (
        "import time\nclass Model:\n    def transform_predict(self):\n"
        f"        time.sleep({seconds})\n        return {{'value': 0}}\n"
    )


def swap_to(service: Service, models: Path, value: int) -> None:
    """Change the model, sync, and wait until the old generation has gone."""
    before = service.release()["id"]
    write_model(models, "Model", answers(value))
    service.sync()
    until(lambda: service.release()["id"] != before, 30)
    until(lambda: service.post("Model").json()["value"] == value, 30)
    service.swapped()


def test_swaps_under_load_drop_no_request_and_mix_no_answer(tmp_path: Path) -> None:
    """32 keep-alive connections at full speed through several swaps: 0 failed, each answer from one
    release.
    """
    models = tmp_path / "models"
    write_model(models, "Model", answers(0))
    truth = Truth()
    with serving(tmp_path, models) as service:
        truth.learn(service, 0)
        with load(service.port, "/models/Model", BODY, check=truth.check) as tally:
            for value in range(1, SWAPS + 1):
                swap_to(service, models, value)
                truth.learn(service, value)
        assert tally.failures == []
        assert tally.answered > 1000
        assert len(set(truth.values.values())) == SWAPS + 1


@pytest.mark.long
def test_slow_requests_in_flight_are_answered_by_the_release_they_reached(tmp_path: Path) -> None:
    """Requests that take longer than the swap end with 200."""
    models = tmp_path / "models"
    write_model(models, "Model", sleeping(3))
    with serving(tmp_path, models) as service:
        with load(service.port, "/models/Model", BODY, connections=8) as tally:
            swap_to(service, models, 1)
        assert tally.failures == []


def test_the_same_content_is_not_swapped(tmp_path: Path) -> None:
    """A sync that finds the same folders leaves the processes alone; a file beside the models
    changes nothing.
    """
    models = tmp_path / "models"
    write_model(models, "Model", answers(0))
    with serving(tmp_path, models) as service:
        workers = {worker.pid for worker in service.workers()}
        (models / "README.txt").write_text("not a model")
        service.sync()
        until(lambda: service.status()["last_result"] == "unchanged")
        assert {worker.pid for worker in service.workers()} == workers


def test_a_generation_that_dies_while_loading_changes_nothing(tmp_path: Path) -> None:
    """The model loads in the check and kills the generation: its old version goes on, and the
    others of the push are served.
    """
    models = tmp_path / "models"
    write_model(models, "Model", answers(0))
    deadly = f"""
import os
if "gunicorn_master" in open("/proc/self/cmdline").read():
    os._exit(3)
{answers(1)}"""
    with serving(tmp_path, models) as service:
        with load(service.port, "/models/Model", BODY, connections=4) as tally:
            write_model(models, "Model", deadly)
            write_model(models, "Other", answers("new"))
            service.sync()
            until(lambda: service.post("Other").status_code == 200, 60)
        service.swapped()
        assert tally.failures == []
        assert service.post("Model").json() == {"value": 0}
        about = service.get("/models/Model").json()
        assert about["state"] == "stale"
        assert "ended the process while it was loaded: exit code 3" in about["reason"]
        assert service.get("/readyz").status_code == 200
        write_model(models, "Model", answers(2))  # and the next good commit is served
        service.sync()
        until(lambda: service.post("Model").json() == {"value": 2}, 30)


@pytest.mark.long
@pytest.mark.parametrize("preload", ["true", "false"])
def test_a_model_that_loads_in_the_check_only_is_not_swapped_in(
    tmp_path: Path, preload: str
) -> None:
    """It raises in the generation: its last version goes on, with all the others of the push."""
    models = tmp_path / "models"
    write_model(models, "Model", answers(0))
    flaky = (
        "if 'gunicorn_master' in open('/proc/self/cmdline').read():\n"
        f"    raise OSError('no mount here')\n{answers(1)}"
    )
    with serving(tmp_path, models, MODELSYNC_PRELOAD=preload) as service:
        write_model(models, "Model", flaky)
        write_model(models, "Other", answers("new"))
        with load(service.port, "/models/Model", BODY, connections=2) as tally:
            service.sync()
            until(lambda: service.post("Other").status_code == 200, 60)
        service.swapped()
        assert tally.failures == []
        assert service.post("Model").json() == {"value": 0}
        about = service.get("/models/Model").json()
        assert about["state"] == "stale"
        assert "no mount here" in about["reason"]
        assert about["next_try"] is not None
        write_model(models, "Other", answers("newer"))  # a push that does not touch it
        service.sync()
        until(lambda: service.post("Other").json() == {"value": "newer"}, 60)
        assert service.post("Model").json() == {"value": 0}


def test_watch_swaps_when_a_file_changes(tmp_path: Path) -> None:
    """`serve --watch`: saving a file is enough."""
    models = tmp_path / "models"
    write_model(models, "Model", answers(0))
    with serving(tmp_path, models, arguments=("--watch",)) as service:
        write_model(models, "Model", answers("saved"))
        until(lambda: service.post("Model").json() == {"value": "saved"}, 30)


def test_a_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    """`kill -9` of a worker under load: only its own requests are lost, and soon there are as many
    workers again.
    """
    models = tmp_path / "models"
    write_model(models, "Model", answers(0))
    with serving(tmp_path, models) as service:
        with load(service.port, "/models/Model", BODY, connections=16) as tally:
            victim, other = service.workers()
            victim.kill()
            until(lambda: len(service.workers()) == 2 and not victim.is_running(), 10)
            answered = tally.answered
            until(lambda: tally.answered > answered + 500)
        assert len(tally.failures) <= 16
        assert other.is_running()
        assert service.post("Model").json() == {"value": 0}


@pytest.mark.long
def test_a_master_that_is_killed_is_replaced(tmp_path: Path) -> None:
    """`kill -9` of the generation's master: the supervisor starts the release again, clients wait
    meanwhile.
    """
    models = tmp_path / "models"
    write_model(models, "Model", answers(0))
    with serving(tmp_path, models) as service:
        [master] = service.masters()
        old = service.workers()
        master.kill()
        until(lambda: [one for one in service.masters() if one.pid != master.pid], 20)
        until(lambda: not any(worker.is_running() for worker in old), 20)
        assert service.post("Model").json() == {"value": 0}


@pytest.mark.long
def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    """`kill -9` of the supervisor: its generation ends by itself, and a new start serves again at
    once.
    """
    models = tmp_path / "models"
    write_model(models, "Model", answers(0))
    with serving(tmp_path, models) as service:
        family = [*service.masters(), *service.workers()]
        service.process.kill()
        service.process.wait()
        until(lambda: not any(one.is_running() and one.status() != "zombie" for one in family), 20)
    with serving(tmp_path, models) as service:
        assert service.post("Model").json() == {"value": 0}


def test_termination_under_load_finishes_what_is_in_flight(tmp_path: Path) -> None:
    """SIGTERM: requests in flight are answered, the exit code is 0."""
    models = tmp_path / "models"
    write_model(models, "Model", sleeping(1))
    with serving(tmp_path, models) as service:
        with load(service.port, "/models/Model", BODY, connections=8) as tally:
            until(lambda: 'in_flight{model="Model"} 8.0' in service.get("/metrics").text)
            service.process.send_signal(signal.SIGTERM)
            code = service.process.wait(patient(60))
        assert code == 0
        assert tally.answered >= 8
        # Afterwards nobody listens: new connections are refused or never accepted; no request in
        # flight was lost.
        assert [
            one
            for one in tally.failures
            if "ConnectionRefused" not in one and "first request" not in one
        ] == []
