"""The line of a refused request in the log tells an operator the reason."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.fixtures.service import serving, write_example, write_model
from tests.records import Record
from tests.service.faulty import Client, model
from tests.waiting import patient, setting, told, until

MODELS = {
    "List": model("return [1, 2]"),
    "Number": model("return 0.5"),
    "Odd": model("return {'a': object()}"),
    "Typed": "class Typed:\n    def transform_predict(self, a: int):\n        return {'a': a}\n",
    "Broken": model(init="raise ValueError('no such rate')"),
    "Lines": model("raise ValueError('one\\ntwo \\x1b[31m' + 'x' * 900)"),
    "Sleeps": model(f"import time; time.sleep({patient(4)})\nreturn {{}}"),
    "Says": model("import logging; logging.getLogger(__name__).warning('said')\nreturn {}"),
}

REFUSED: dict[str, tuple[str, dict[str, Any], int, str]] = {
    "no dict": (
        "/models/List",
        {"json": {"variables": {}}},
        500,
        "TypeError: transform_predict returned a list",
    ),
    "a number": (
        "/models/Number",
        {"json": {"variables": {}}},
        500,
        "TypeError: transform_predict returned a float",
    ),
    "no JSON": ("/models/Odd", {"json": {"variables": {}}}, 500, "a is a object"),
    "a bad body": (
        "/models/Typed",
        {"data": "{", "headers": {"Content-Type": "application/json"}},
        400,
        "malformed",
    ),
    "a bad type": (
        "/models/Typed",
        {"data": "a=1", "headers": {"Content-Type": "text/plain"}},
        415,
        "application/json",
    ),
    "a bad field": (
        "/models/Typed",
        {"json": {"variables": {"a": "x"}}},
        422,
        "a: Input should be a valid integer",
    ),
    "not loaded": ("/models/Broken", {"json": {"variables": {}}}, 503, "ValueError: no such rate"),
    "too late": ("/models/Sleeps", {"json": {"variables": {}}}, 504, f"no answer within {told(2)}"),
    "unknown": ("/models/Typo", {"json": {"variables": {}}}, 404, "Did you mean Typed?"),
    "no right": ("/models/sync", {}, 403, "MODELSYNC_ADMIN_TOKENS"),
}
"""What is asked, and what is the matter with it: path, body, status, the reason."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("refused")
    for name, code in MODELS.items():
        write_model(folder / "models", name, code)
    write_example(folder / "models" / "Typed", {"a": 1}, {"a": 1})
    with serving(
        folder, folder / "models", MODELSYNC_WORKERS="1", MODELSYNC_PREDICT_TIMEOUT=setting(2)
    ) as service:
        yield Client(service)


def line(client: Client, answer: requests.Response) -> Record:
    """The access line of an answer."""
    identity = answer.headers["X-Request-ID"]
    return until(lambda: client.service.lines(logger="modelsync.access", request_id=identity))[0]


@pytest.mark.parametrize("name", REFUSED)
def test_the_line_of_what_was_refused_tells_why(client: Client, name: str) -> None:
    """The detail that the client was given, whether Flask has answered or not."""
    path, sent, status, reason = REFUSED[name]
    answer = requests.post(f"{client.service.url}{path}", timeout=patient(30), **sent)
    assert answer.status_code == status
    assert reason in answer.json()["detail"]
    assert line(client, answer)["detail"] == answer.json()["detail"][:300]


def test_a_success_has_no_detail(client: Client) -> None:
    """Neither has its line the field."""
    assert "detail" not in line(client, client.post("Typed", {"a": 1}))


def test_a_detail_is_short(client: Client) -> None:
    """300 characters, on one line as all that is logged."""
    found = line(client, client.post("Lines"))["detail"]
    assert len(found) == 300
    assert found.startswith("ValueError: one\ntwo")


@pytest.mark.parametrize("name", ["List", "Number", "Odd"])
def test_a_result_that_cannot_be_served_is_an_error_in_the_log(client: Client, name: str) -> None:
    """As an exception is: its model's 500s are all there."""
    problem = client.problem(name, 500)
    [record] = until(lambda: client.service.lines(level="error", request_id=problem["request_id"]))
    assert (record["model"], record["message"]) == (name, f"{name}: {problem['detail']}")


def test_a_call_that_is_too_late_is_logged_under_its_request(client: Client) -> None:
    """With the model's name, to be found by either."""
    problem = client.problem("Sleeps", 504)
    [record] = until(lambda: client.service.lines(level="error", request_id=problem["request_id"]))
    assert (record["model"], record["message"]) == (
        "Sleeps",
        f"Sleeps was still running after {told(2)}",
    )


def test_what_a_model_logs_has_its_name(client: Client) -> None:
    """The field `model`, beside the logger of its module."""
    client.post("Says")
    [record] = until(lambda: client.service.lines(message="said"))
    assert record["model"] == "Says"


def test_text_for_people_tells_why_too(tmp_path: Path) -> None:
    """On one line without anything that a terminal would obey, and with times that can be read."""
    write_model(tmp_path / "models", "Lines", MODELS["Lines"])
    with serving(tmp_path, tmp_path / "models", MODELSYNC_LOG_FORMAT="text") as service:
        service.post("Lines")
        [found] = until(
            lambda: [
                one
                for one in service.log.read_text().splitlines()
                if "POST /models/Lines 500" in one
            ]
        )
        assert 'detail="ValueError: one\\ntwo' in found
        assert "\x1b" not in found
        service.get("/livez")
        [found] = until(
            lambda: [one for one in service.log.read_text().splitlines() if "GET /livez 200" in one]
        )
        assert "model=" not in found
        assert len(found.partition("seconds=")[2].partition(" ")[0]) <= len("0.000000")
