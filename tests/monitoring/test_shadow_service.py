"""Two real services, of which one copies its predictions to the other."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import pytest
import requests

from tests.command import modelsync
from tests.fixtures.service import Service, serving, write_example, write_model
from tests.records import Record
from tests.waiting import patient, until

PREDICT = {"Authorization": "Bearer predict-token-of-the-tests"}
ADMIN = {"Authorization": "Bearer admin-token-of-the-tests"}

SAME = """
class {name}:
    def transform_predict(self, a: float, secret: str = ""):
        return {{"y": 2 * a, "b": [0.1, {{"c": 1, "d": 2}}]}}
"""

ROUNDED = """
class Rounded:
    def transform_predict(self, a: float, secret: str = ""):
        return {"b": [0.1 + 1e-12, {"d": 2.0, "c": 1}], "y": 2 * a * (1 + 1e-9)}
"""

RAISES = """
class Raises:
    def transform_predict(self, a: float):
        return {"y": 1 / a}
"""

RAISES_MORE = """
class Raises:
    def transform_predict(self, a: float):
        if a > 1:
            raise KeyError("a")
        return {"y": 1 / a}
"""

OTHER = """
class Other:
    def transform_predict(self, a: float, secret: str = ""):
        return {"y": a + %d, "secret": secret, "rest": {"secret": secret, "z": 1}}
"""

BATCHED = """
class Batched:
    def transform_predict_batch(self, rows: list[dict]):
        return [{"y": row["a"]} for row in rows]
"""

OURS = {
    "Same": SAME.format(name="Same"),
    "Rounded": SAME.format(name="Rounded"),
    "Raises": RAISES,
    "Other": OTHER % 0,
    "Batched": BATCHED,
    "Thread": "import threading\nlocal = threading.local()\nlocal.value = 1\n"
    + SAME.format(name="Thread"),
    "Gone": SAME.format(name="Gone"),
}

THEIRS = {
    **OURS,
    "Rounded": ROUNDED,
    "Raises": RAISES_MORE,
    "Other": OTHER % 1,
}
del THEIRS["Gone"]


def a_free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


def write_models(folder: Path, codes: dict[str, str]) -> Path:
    for name, code in codes.items():
        model = write_model(folder, name, code)
        if name not in ("Batched", "Raises"):
            write_example(model, {"a": 1.0})  # so that it is called in the loop
    return folder


TOKENS = {
    "MODELSYNC_PREDICT_TOKENS": "predict-token-of-the-tests",
    "MODELSYNC_ADMIN_TOKENS": "admin-token-of-the-tests",
    "MODELSYNC_SAMPLE_MASK": "secret",
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Service]]:
    """A service, and its candidate; the candidate would copy its own predictions back."""
    folder = tmp_path_factory.mktemp("shadow")
    for name in ("ours", "theirs"):
        (folder / name).mkdir()
    port = str(a_free_port())
    with (
        serving(
            folder / "theirs",
            write_models(folder / "theirs" / "models", THEIRS),
            MODELSYNC_SHADOW_URL=f"http://127.0.0.1:{port}",
            MODELSYNC_SAMPLE_RATE="1",
            MODELSYNC_WORKERS="1",
            env=TOKENS,
        ) as candidate,
        serving(
            folder / "ours",
            write_models(folder / "ours" / "models", OURS),
            MODELSYNC_SHADOW_URL=candidate.url,
            MODELSYNC_PORT=port,
            env=TOKENS,
        ) as service,
    ):
        yield service, candidate


def shadow(service: Service, model: str, headers: dict[str, str] = ADMIN) -> dict[str, Any]:
    """What is told of the copies of a model."""
    found: dict[str, Any] = service.get(f"/models/{model}/shadow", headers=headers).json()
    return found


def predict(service: Service, model: str, variables: Any, identity: str = "") -> requests.Response:
    headers = PREDICT | ({"X-Request-ID": identity} if identity else {})
    return service.post(model, variables, headers=headers)


def counted(service: Service, model: str, result: str, number: int) -> dict[str, Any]:
    """Wait until so many copies had a result; what is told then."""
    return until(lambda: (one := shadow(service, model))["requests"][result] == number and one)


def logged(service: Service, identity: str) -> list[Record]:
    """The lines of the log of a request; there is at least one."""
    return until(lambda: service.lines(request_id=identity))


@pytest.mark.parametrize("model", ["Same", "Rounded", "Batched", "Thread"])
def test_equal_answers(pair: tuple[Service, Service], model: str) -> None:
    """Every prediction is copied once, whether its head is cached, wherever its model runs, of
    one row or several, with its id.
    """
    service, candidate = pair
    before = shadow(service, model)["requests"]
    with requests.Session() as client:  # the head of the later ones is cached
        for number in range(5):
            answer = client.post(
                f"{service.base}/{model}",
                json={"variables": {"a": number}},
                headers=PREDICT | {"X-Request-ID": f"{model}-{number}"},
                timeout=patient(30),
            )
            assert answer.status_code == 200
    assert predict(service, model, [{"a": 1}, {"a": 2}]).status_code == 200
    assert predict(service, f"{model}/predict", {"a": 1}).status_code == 200
    found = counted(service, model, "equal", before["equal"] + 7)
    assert found["requests"] == before | {"equal": before["equal"] + 7}
    assert found["differences"] == []
    assert 0 < found["seconds"] < 30
    for number in range(5):
        (line,) = logged(candidate, f"{model}-{number}")
        assert line["message"] == f"POST /models/{model} 200"


def test_different_answers_are_shown_to_admins(pair: tuple[Service, Service]) -> None:
    """Without what is masked; who may predict sees how many."""
    service, candidate = pair
    before = shadow(service, "Other")["requests"]["different"]
    for number in range(12):
        predict(service, "Other", {"a": number, "secret": "s3cr3t-w0rd"}, f"other-{number}")
    found = counted(service, "Other", "different", before + 12)
    assert (found["rate"], found["candidate"]) == (1, candidate.url)
    assert sorted(one["request_id"] for one in found["differences"])[-1] == "other-9"
    assert len(found["differences"]) == 10
    (one,) = [one for one in found["differences"] if one["request_id"] == "other-9"]
    assert one["what"] == "y: expected 9.0, got 10.0"
    assert one["request"] == {"variables": {"a": 9}}
    assert one["answer"] == {"y": 9.0, "rest": {"z": 1}}
    assert one["candidate_answer"] == {"y": 10.0, "rest": {"z": 1}}
    assert one["candidate_release"] == candidate.release()["commit"]
    assert one["candidate_version"] == candidate.release()["models"]["Other"]["version"]
    told = shadow(service, "Other", PREDICT)
    assert told["requests"]["different"] == before + 12
    assert (told["differences"], told["candidate"]) == (None, None)
    assert service.get("/models/Other/shadow").status_code == 401
    kept = b"".join(file.read_bytes() for file in (service.home / "shadow").glob("*.json"))
    assert b"other-9" in kept
    for word in (b"s3cr3t", b"token-of-the-tests"):
        assert word not in kept
        assert word not in service.log.read_bytes()
    assert (service.home / "shadow").stat().st_mode & 0o077 == 0


def test_failures_of_a_model_are_compared_by_their_status(pair: tuple[Service, Service]) -> None:
    """Both raise, both refuse: equal; one does: different. What reaches no model is not copied."""
    service, _ = pair
    assert predict(service, "Raises", {"a": 0}).status_code == 500
    assert predict(service, "Raises", {"a": "x"}).status_code == 422
    assert predict(service, "Raises", {"a": 1}).status_code == 200
    assert predict(service, "Raises", {"a": 2}).status_code == 200
    assert service.post("Raises", {"a": 2}).status_code == 401
    counted(service, "Raises", "equal", 3)
    found = counted(service, "Raises", "different", 1)
    assert sum(found["requests"].values()) == 4
    (one,) = found["differences"]
    assert (one["status"], one["candidate_status"]) == (200, 500)
    assert one["what"] == "status 200 here, 500 of the candidate"


def test_a_model_that_the_candidate_lacks_is_different(pair: tuple[Service, Service]) -> None:
    """It answers 404."""
    service, _ = pair
    predict(service, "Gone", {"a": 1})
    found = counted(service, "Gone", "different", 1)
    assert found["differences"][0]["candidate_status"] == 404


def test_a_copy_is_neither_copied_nor_sampled(pair: tuple[Service, Service]) -> None:
    """The candidate, which copies to the service, copies what its own clients ask alone."""
    service, candidate = pair
    predict(service, "Same", {"a": 8}, "copied")
    logged(candidate, "copied")
    predict(candidate, "Same", {"a": 8}, "asked-directly")
    counted(candidate, "Same", "equal", 1)
    assert len(candidate.lines(request_id="copied")) == 1
    assert len(service.lines(request_id="copied")) == 1
    assert len(logged(service, "asked-directly")) == 1
    files = candidate.home / "samples" / "parquet" / "Same"
    rows = until(
        lambda: [row for one in files.rglob("*.parquet") for row in pq.read_table(one).to_pylist()],
        60,
    )
    assert [row["modelsync_request_id"] for row in rows] == ["asked-directly"]


def test_what_calls_no_single_model_is_not_copied(pair: tuple[Service, Service]) -> None:
    """Predictions of all models, by query, states, pages."""
    service, candidate = pair
    for path in ("Same/predict?a=1", "Same", "all"):
        service.get(f"/models/{path}", headers=PREDICT | {"X-Request-ID": "not-copied"})
    predict(service, "all?models=Same", {"a": 1}, "not-copied")
    predict(service, "Thread", {"a": 1}, "copied-later")
    logged(candidate, "copied-later")
    assert candidate.lines(request_id="not-copied") == []


def test_it_is_told_everywhere(pair: tuple[Service, Service], tmp_path: Path) -> None:
    """In metrics, on the page, by the command, and in OpenAPI."""
    service, _ = pair
    predict(service, "Other", {"a": 1})
    until(lambda: shadow(service, "Other")["requests"]["different"])
    number = shadow(service, "Other")["requests"]["different"]
    metrics = service.get("/metrics").text
    line = f'modelsync_shadow_requests_total{{model="Other",result="different"}} {number:.1f}'
    assert line in metrics
    assert 'modelsync_shadow_duration_seconds_count{model="Other"}' in metrics
    models = service.get("/models/", headers=PREDICT).json()["models"]
    (model,) = [one for one in models if one["name"] == "Other"]
    assert model["shadow"]["different"] == number
    page = service.get("/models/", headers=PREDICT | {"Accept": "text/html"}).text
    assert f"{number} different" in page
    file = tmp_path / "token"
    file.write_text("predict-token-of-the-tests")
    done = modelsync("status", "--url", service.base, "--token-file", str(file), cwd=tmp_path)
    assert f"{number} different" in done.stdout or "candidate: " in done.stdout
    paths = service.get("/models/openapi.json", headers=PREDICT).json()["paths"]
    assert "/models/Other/shadow" in paths
    assert service.get("/models/Nope/shadow", headers=PREDICT).status_code == 404


def test_a_killed_process_of_copies_is_started_again(pair: tuple[Service, Service]) -> None:
    """Nobody notices but the counts, which go on."""
    service, _ = pair
    predict(service, "Same", {"a": 1})
    before = until(lambda: shadow(service, "Same")["requests"]["equal"])
    copying(service).kill()
    assert predict(service, "Same", {"a": 1}).status_code == 200

    def goes_on() -> bool:
        assert predict(service, "Same", {"a": 1}).status_code == 200
        requests = shadow(service, "Same")["requests"]
        return bool(requests["equal"] > before)

    until(goes_on, 30)


def copying(service: Service) -> psutil.Process:
    """The process that copies the predictions of a service."""
    children = psutil.Process(service.process.pid).children()
    module = "modelsync.monitoring.shadow.program"
    (found,) = [one for one in children if module in " ".join(one.cmdline())]
    return found
