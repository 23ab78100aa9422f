from __future__ import annotations

import logging
import re
from pathlib import Path

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient

from modelsync import problems
from modelsync.api.app import create_app
from modelsync.errors import InvalidField, ModelRaised, VariablesInvalid
from tests.api.serving import COMMIT, JSON, a_service, body, is_problem

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")


def paths(app: Flask) -> list[str]:
    return sorted(
        {
            rule.rule.replace("<model:name>", "Nope").replace("<path:filename>", "nope.js")
            for rule in app.url_map.iter_rules()
        }
    )


def test_every_error_on_every_route_has_one_shape(tmp_path: Path) -> None:
    """Each route answers each bad method with a problem document and the request id."""
    app = create_app(a_service(tmp_path))
    client = app.test_client()
    found = paths(app)
    assert len(found) >= 12
    seen = set()
    for path in [*found, "/nowhere", "/models/Add/nothing"]:
        for method in METHODS:
            answer = client.open(path, method=method, headers={"X-Request-ID": "id-1"})
            assert answer.headers["X-Request-ID"] == "id-1"
            seen.add(answer.status_code)
            if answer.status_code < 400:
                continue
            assert answer.headers["Content-Type"] == "application/problem+json", (method, path)
            if method != "HEAD":
                assert is_problem(answer, answer.status_code)["release"] == COMMIT
            if answer.status_code == 405:
                assert answer.headers["Allow"], (method, path)
                assert method not in answer.headers["Allow"].split(", ")
    assert {200, 404, 405, 415} <= seen


def test_a_message_that_utf8_cannot_hold_is_a_problem() -> None:
    """A lone surrogate in an exception's message is replaced; the rest of it is told."""
    # Not through a model: its log line would hold the surrogate, and pytest-xdist cannot pass that
    # on.
    for error in (
        ModelRaised("ValueError", "caf\udce9"),
        VariablesInvalid([InvalidField("a", "caf\udce9")]),
    ):
        answer = problems.answer(error, request_id="id-1")
        assert "caf?" in orjson.loads(answer.body)["detail"]


def test_a_content_type_that_python_cannot_read_is_not_taken(tmp_path: Path) -> None:
    """A media type with a number of 5,000 digits is refused with 415."""
    client = create_app(a_service(tmp_path)).test_client()
    odd = {"Content-Type": f"application/json; x*{'9' * 5000}=y"}
    is_problem(client.post("/models/Echo", data=b'{"variables": {}}', headers=odd), 415)


def test_an_unexpected_failure_is_a_problem_and_its_traceback_is_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A 500 tells nothing of the cause; the log has it under the request id."""
    service = a_service(tmp_path)
    client = create_app(service).test_client()
    (tmp_path / "run" / "metrics" / "retired.json").mkdir()
    with caplog.at_level(logging.ERROR):
        answer = client.get("/metrics")
    problem = is_problem(answer, 500)
    assert str(tmp_path) not in answer.text
    assert "IsADirectory" not in answer.text
    [record] = [record for record in caplog.records if record.exc_info]
    assert record.fields["request_id"] == problem["request_id"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "é", "a\tb", "<script>"])
def test_a_request_id_that_cannot_be_trusted_is_replaced(client: FlaskClient, given: str) -> None:
    """A client's request id that is empty, long or unsafe is replaced by a new one."""
    answer = client.get("/livez", headers={"X-Request-ID": given})
    assert re.fullmatch(r"[0-9a-f]{32}", answer.headers["X-Request-ID"])


def test_the_workers_request_id_is_kept(client: FlaskClient) -> None:
    """Flask uses the request id that our worker assigned."""
    answer = client.get(
        "/livez", headers={"X-Request-ID": "theirs"}, environ_base={"modelsync.request_id": "ours"}
    )
    assert answer.headers["X-Request-ID"] == "ours"


@pytest.mark.parametrize("base", ["", "models"])
@pytest.mark.parametrize(
    "path",
    [
        "Add/",
        "/Add",
        "Add//",
        "Add/predict/",
        "../Add",
        "Add/../Add",
        "./Add",
        "Add\0",
        "Add%00",
        "docs/",
        "usage/",
        "Add/versions",
        "Add/download",
        "Add/versions/1",
        "v2",
        "v2/models/Add/infer",
        "nowhere/at/all",
        "all/",
        "sync/",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_odd_path_is_not_found_and_never_redirected(
    tmp_path: Path, base: str, path: str, method: str
) -> None:
    """A path that is not exactly a route's is answered with 404, or with 405 and Allow."""
    client = create_app(a_service(tmp_path, baseUrl=base)).test_client()
    prefix = f"/{base}/" if base else "/"
    # The path is set as the server decodes it, because the client would tidy it up.
    environ = {"PATH_INFO": prefix + path}
    answer = client.open(
        "/", method=method, data=body(a=1), headers=JSON, environ_overrides=environ
    )
    assert answer.status_code in {404, 405}, answer.text
    is_problem(answer, answer.status_code)
    assert "Location" not in answer.headers


@pytest.mark.parametrize(
    ("base", "path", "says"),
    [
        (
            "models",
            "/models/Add/",
            "Nothing is served at '/models/Add/', with a slash at its end: ask for '/models/Add'.",
        ),
        (
            "models",
            "/Add",
            "Nothing is served at '/Add': the models are at /models/<Model>, see /models/usage.",
        ),
        (
            "models",
            "/models/a/b",
            "Nothing is served at '/models/a/b': see /models/usage for the models.",
        ),
        ("", "/Add/", "Nothing is served at '/Add/', with a slash at its end: ask for '/Add'."),
    ],
)
def test_a_path_that_is_nearly_right_is_told_the_right_one(
    tmp_path: Path, base: str, path: str, says: str
) -> None:
    """A 404 names the right path if a slash is too many or the base path is missing."""
    client = create_app(a_service(tmp_path, baseUrl=base)).test_client()
    answer = client.post(path, data=body(a=1), headers=JSON)
    assert is_problem(answer, 404)["detail"] == says


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_model_without_fit_is_not_trained(client: FlaskClient, method: str) -> None:
    """A method that only trained models have is refused with 405, the reason and the others."""
    answer = client.open("/models/Add", method=method)
    assert "no method fit" in is_problem(answer, 405)["detail"]
    assert answer.headers["Allow"] == "GET, HEAD, OPTIONS, POST"


@pytest.mark.parametrize(
    ("path", "allow"),
    [("all", "OPTIONS, POST"), ("usage", "GET, HEAD, OPTIONS"), ("docs", "GET, HEAD, OPTIONS")],
)
def test_a_route_of_ours_is_never_taken_for_a_model(
    client: FlaskClient, path: str, allow: str
) -> None:
    """A wrong method on a route of the service is refused with 405 and its own methods."""
    answer = client.open(f"/models/{path}", method="GET" if path == "all" else "POST")
    is_problem(answer, 405)
    assert answer.headers["Allow"] == allow


def test_options_and_head_answer(client: FlaskClient) -> None:
    """OPTIONS tells the methods; HEAD is GET without its body."""
    assert set(client.options("/models/Add").allow) == {"GET", "HEAD", "OPTIONS", "POST"}
    head, get = client.head("/models/Add"), client.get("/models/Add")
    assert (head.status_code, head.data) == (200, b"")
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


def test_answers_are_neither_guessed_at_nor_kept(client: FlaskClient) -> None:
    """Responses forbid sniffing, framing, and caching of what a release changes."""
    for path in ("/models/", "/models/Add", "/livez"):
        headers = client.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Content-Security-Policy"].startswith("default-src 'self'")


@pytest.mark.parametrize("path", ["/models/Add", "/models/all", "/livez", "/metrics", "/models/"])
def test_trace_is_refused_with_the_methods_of_the_path(client: FlaskClient, path: str) -> None:
    """No route echoes a request with its credentials (RFC 9110 section 9.3.8)."""
    answer = client.open(path, method="TRACE")
    is_problem(answer, 405)
    assert set(answer.headers["Allow"].split(", ")) == set(client.options(path).allow)
