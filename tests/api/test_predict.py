from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from modelsync.api.app import create_app
from tests.api.serving import COMMIT, JSON, VERSION, a_service, body, is_problem, read


def test_a_prediction_is_the_models_dict_and_says_what_answered(client: FlaskClient) -> None:
    """The body is the model's dict; headers tell request id, release and version."""
    answer = client.post(
        "/models/Add", data=body(a=40), headers={**JSON, "X-Request-ID": "my-id.1"}
    )
    assert (answer.status_code, answer.json) == (200, {"sum": 42})
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Request-ID"] == "my-id.1"
    assert answer.headers["X-Modelsync-Release"] == COMMIT
    assert answer.headers["X-Modelsync-Model-Version"] == VERSION


@pytest.mark.parametrize("base", ["", "models", "api/v1/models"])
def test_the_base_url_is_the_prefix_of_every_route_but_the_probes(
    tmp_path: Path, base: str
) -> None:
    """Every route but /livez, /readyz and /metrics has the base URL, also an empty one."""
    client = create_app(a_service(tmp_path, baseUrl=base)).test_client()
    prefix = f"/{base}" if base else ""
    assert client.post(f"{prefix}/Add", data=body(a=1), headers=JSON).json == {"sum": 3}
    assert client.post(f"{prefix}/all", data=body(a=1), headers=JSON).status_code == 200
    for path in (
        f"{prefix}/",
        f"{prefix}/usage",
        f"{prefix}/docs",
        f"{prefix}/openapi.json",
        f"{prefix}/sync",
    ):
        assert client.get(path).status_code == 200, path
    for path in (f"{prefix}/static/site.css", f"{prefix}/Add", "/livez", "/readyz", "/metrics"):
        assert client.get(path).status_code == 200, path
    if base:
        assert client.get(prefix).status_code == 200
        is_problem(client.post("/Add", data=body(a=1), headers=JSON), 404)


@pytest.mark.parametrize("method", ["post", "get"])
def test_the_older_systems_path_answers_the_same(client: FlaskClient, method: str) -> None:
    """`/predict` after a model's name predicts with a body or with a query."""
    if method == "post":
        answer = client.post("/models/Add/predict", data=body(a=1, b=1), headers=JSON)
    else:
        answer = client.get("/models/Add/predict?a=1&b=1")
    assert (answer.status_code, answer.json) == (200, {"sum": 2})


def test_values_of_a_query_are_json_or_else_text(client: FlaskClient) -> None:
    """Numbers, lists and null are read as JSON, a repeated name as a list, all else as text."""
    answer = client.get(
        "/models/Echo/predict?n=1.5&t=north%20east&l=[1,2]&z=01&e=&r=1&r=x&u=%C3%A9&j=null"
    )
    assert answer.json == {
        "got": {
            "n": 1.5,
            "t": "north east",
            "l": [1, 2],
            "z": "01",
            "e": "",
            "r": [1, "x"],
            "u": "é",
            "j": None,
        }
    }
    is_problem(client.get("/models/Echo/predict?a=%ff"), 400)
    is_problem(client.get("/models/Echo/predict?" + "&".join("a=1" for _ in range(1001))), 400)


MALFORMED = {
    "empty": b"",
    "malformed": b'{"variables": {"a": }}',
    "truncated": b'{"variables": {"a": 1',
    "invalid UTF-8": b'{"variables": {"a": "\xff"}}',
    "BOM": b'\xef\xbb\xbf{"variables": {}}',
    "NaN": b'{"variables": {"a": NaN}}',
    "infinity": b'{"variables": {"a": -Infinity}}',
    "deep": b'{"variables": {"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    "duplicate keys": b'{"variables": {"a": 1, "a": 2}}',
    "huge integer": b'{"variables": {"a": ' + b"9" * 5000 + b"}}",
    "trailing data": b'{"variables": {}} x',
}


@pytest.mark.parametrize("path", ["/models/Echo", "/models/all", "/models/Echo/predict"])
@pytest.mark.parametrize("kind", MALFORMED)
def test_json_that_is_not_right_is_refused_with_its_position(
    client: FlaskClient, kind: str, path: str
) -> None:
    """A 400 tells the position for a program and the detail for a person."""
    problem = is_problem(client.post(path, data=MALFORMED[kind], headers=JSON), 400)
    assert isinstance(problem["position"], int)
    assert "Traceback" not in problem["detail"]


@pytest.mark.parametrize(
    "sent", [b"[]", b"1", b"null", b"{}", b'{"variables": null}', b'{"variables": [1]}']
)
def test_a_body_without_variables_is_refused(client: FlaskClient, sent: bytes) -> None:
    """A 400 tells that the body needs `variables`."""
    assert (
        "variables"
        in is_problem(client.post("/models/Echo", data=sent, headers=JSON), 400)["detail"]
    )


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "application/vnd.me+json", "Application/JSON"],
)
def test_json_by_other_names_is_taken(client: FlaskClient, content_type: str) -> None:
    """Parameters, suffixes and case of the media type do not matter."""
    answer = client.post("/models/Add", data=body(a=1), headers={"Content-Type": content_type})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/jsonp"},
        {"Content-Type": "text/json+json"},
        {"Content-Type": ";;;\x80"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
@pytest.mark.parametrize("path", ["/models/Add", "/models/all"])
def test_what_is_not_plain_json_is_refused(
    client: FlaskClient, path: str, headers: dict[str, str]
) -> None:
    """Another media type or a compressed body is refused with 415, whatever the body holds."""
    answer = client.post(
        path, input_stream=io.BytesIO(body(a=1)), content_length=len(body(a=1)), headers=headers
    )
    is_problem(answer, 415)


def test_a_body_over_the_limit_is_refused(tmp_path: Path) -> None:
    """A body of exactly the limit is accepted; one byte more is refused with 413."""
    client = create_app(a_service(tmp_path, MODELSYNC_MAX_BODY="100")).test_client()
    fits = body(a=1).ljust(100)
    assert client.post("/models/Add", data=fits, headers=JSON).status_code == 200
    is_problem(client.post("/models/Add", data=fits + b" ", headers=JSON), 413)
    is_problem(client.post("/models/all", data=fits + b" ", headers=JSON), 413)


def test_a_field_that_does_not_fit_is_named(client: FlaskClient) -> None:
    """A 422 names every bad field."""
    problem = is_problem(client.post("/models/Add", data=body(a="x", b=[]), headers=JSON), 422)
    assert {error["field"] for error in problem["errors"]} == {"a", "b"}
    assert problem["model"] == "Add"


def test_what_a_model_raises_is_told_without_a_traceback(client: FlaskClient) -> None:
    """A 500 tells type and message of the model's exception."""
    answer = client.post("/models/Raises", data=body(), headers=JSON)
    problem = is_problem(answer, 500)
    assert problem["error"] == "LookupError"
    assert problem["detail"] == "LookupError: no such thing"
    assert b"Traceback" not in answer.data


def test_an_unknown_model_is_refused_naming_the_near_ones(client: FlaskClient) -> None:
    """Each route of a model answers 404 with similar names, whatever the body is."""
    for answer in (
        client.post("/models/Ad"),
        client.post("/models/add", data=body(), headers=JSON),
        client.get("/models/Adds"),
        client.get("/models/Addd/predict?a=1"),
    ):
        problem = is_problem(answer, 404)
        assert problem["near"][0] == "Add"
        assert "Add" in problem["detail"]


def test_a_model_that_is_not_loaded_says_why(client: FlaskClient) -> None:
    """A 503 tells the fault of a model that is not loaded."""
    problem = is_problem(client.post("/models/Broken", data=body(), headers=JSON), 503)
    assert "xgboost" in problem["detail"]


def test_all_models_answer_side_by_side(client: FlaskClient) -> None:
    """A model that fails holds its problem under its own name and hides no other."""
    answer = client.post("/models/all", data=body(a=1), headers=JSON)
    assert answer.status_code == 200
    found = read(answer)
    assert found["Add"] == {"sum": 3}
    assert found["Echo"] == {"got": {"a": 1}}
    assert [found[name]["status"] for name in ("Person", "Raises", "Broken")] == [422, 500, 503]


def test_all_takes_a_choice_of_models_and_merges(client: FlaskClient) -> None:
    """`models` selects, `flat` merges; an unknown model is a problem, so is another parameter."""
    answer = client.post("/models/all?models=Add,%20Echo&models=Nope", data=body(a=1), headers=JSON)
    assert set(read(answer)) == {"Add", "Echo", "Nope"}
    assert read(answer)["Nope"]["status"] == 404
    answer = client.post("/models/all?models=Add,Echo&flat=true", data=body(a=1), headers=JSON)
    assert answer.json == {"sum": 3, "got": {"a": 1}}
    is_problem(client.post("/models/all?flat=perhaps", data=body(a=1), headers=JSON), 400)
    misspelt = is_problem(client.post("/models/all?model=Add", data=body(a=1), headers=JSON), 400)
    assert misspelt["detail"] == "unknown query parameter 'model'; known are models and flat"


def test_status_tells_everything_about_a_model(client: FlaskClient) -> None:
    """The status has state, version, schema, examples, and the fault of a broken version."""
    add = read(client.get("/models/Add"))
    assert (add["state"], add["version"], add["release"]) == ("ready", VERSION, COMMIT)
    assert set(add["schema"]["properties"]) == {"a", "b"}
    assert add["examples"][0] == {
        "name": "two",
        "variables": {"a": 1, "b": 2},
        "response": {"sum": 3},
    }
    old = read(client.get("/models/Old"))
    assert (old["state"], old["version"], old["wanted_version"]) == ("stale", VERSION, "cd" * 20)
    assert [version["serving"] for version in old["versions"]] == [True, False]
    broken = read(client.get("/models/Broken"))
    assert (broken["state"], broken["version"], broken["fault"]["line"]) == ("failed", None, 3)
    assert "xgboost" in broken["reason"]


def test_predictions_go_on_before_the_first_release_with_reasons(tmp_path: Path) -> None:
    """Before the first release the service is live and not ready, and each route answers."""
    from tests.api.serving import an_empty_service

    client = create_app(an_empty_service(tmp_path)).test_client()
    assert client.get("/livez").json == {"status": "ok"}
    assert "no release" in is_problem(client.get("/readyz"), 503)["detail"]
    assert (
        "no release"
        in is_problem(client.post("/models/Add", data=body(), headers=JSON), 503)["detail"]
    )
    assert client.post("/models/all", data=body(), headers=JSON).json == {}
    for path in (
        "/models/",
        "/models/usage",
        "/models/docs",
        "/models/openapi.json",
        "/models/sync",
        "/metrics",
    ):
        assert client.get(path).status_code == 200, path
    assert client.get("/models/", headers={"Accept": "text/html"}).status_code == 200


def test_readiness_names_the_models_that_are_not(client: FlaskClient) -> None:
    """/readyz is 200 with the names of failed models, because the others answer."""
    ready = read(client.get("/readyz"))
    assert (ready["status"], ready["release"], ready["models"]) == ("ready", COMMIT, 5)
    assert list(ready["not_ready"]) == ["Broken"]
    assert json.dumps(ready)
