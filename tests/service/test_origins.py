"""Pages of other origins may call the service if they are allowed to, and `/all` may be flat."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient

from modelsync.api.app import create_app
from tests.api.serving import a_service
from tests.fixtures.service import Service, answers, serving, write_model
from tests.waiting import patient

PAGE, OTHER = "https://app.example.org", "https://evil.example"
PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, content-type",
}
ALLOW = "Access-Control-Allow-Origin"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    root = tmp_path_factory.mktemp("origins")
    models = root / "models_serve"
    for name in ("Churn", "Price"):
        write_model(models, name, answers(name, name))
    write_model(models, "Raises", "class Raises:\n    def transform_predict(self): raise OSError\n")
    write_model(
        models,
        "Big",
        "class Big:\n    def transform_predict(self): return {'big': 10**30, 'x': [1.5]}\n",
    )
    with serving(
        root,
        models,
        MODELSYNC_CORS_ORIGINS=PAGE,
        MODELSYNC_ALL="flat",
        MODELSYNC_PREDICT_TOKENS="t0ken",
    ) as service:
        yield service


def call(service: Service, method: str, path: str, origin: str, **more: str) -> requests.Response:
    headers = {"Origin": origin, "Authorization": "Bearer t0ken", **more}
    body: Any = {"variables": {}} if method == "POST" else None
    url, limit = f"{service.url}{path}", patient(30)
    return requests.request(method, url, headers=headers, json=body, timeout=limit)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/models/Churn", 200),
        ("POST", "/models/Raises", 500),
        ("POST", "/models/Nobody", 404),
        ("POST", "/models/all", 200),
        ("GET", "/models/", 200),
        ("GET", "/livez", 200),
        ("GET", "/models/Churn", 200),
        ("DELETE", "/models/usage", 405),
    ],
)
def test_every_answer_tells_who_may_read_it(
    service: Service, method: str, path: str, status: int
) -> None:
    """Errors too, and answers of cached heads; another origin is not told that it may."""
    for _ in range(3):  # the head is cached from the second one on
        answer = call(service, method, path, PAGE)
        assert (answer.status_code, answer.headers[ALLOW]) == (status, PAGE)
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        assert "X-Request-ID" in answer.headers["Access-Control-Expose-Headers"]
        other = call(service, method, path, OTHER)
        assert (other.status_code, other.headers.get(ALLOW)) == (status, None)
        assert [*answer.raw.headers.getlist("Vary"), "Origin"].count("Origin") == 2
        assert "Origin" in other.headers["Vary"]


def test_a_refused_token_may_be_read(service: Service) -> None:
    answer = call(service, "POST", "/models/Churn", PAGE, Authorization="Bearer wrong")
    assert (answer.status_code, answer.headers[ALLOW]) == (401, PAGE)


@pytest.mark.parametrize("path", ["/models/Churn", "/models/all", "/models/sync", "/livez"])
def test_a_preflight_needs_no_token(service: Service, path: str) -> None:
    """Browsers send none with it."""
    answer = call(service, "OPTIONS", path, PAGE, Authorization="", **PREFLIGHT)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers[ALLOW] == PAGE
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert answer.headers["Access-Control-Allow-Headers"] == "authorization, content-type"
    other = call(service, "OPTIONS", path, OTHER, Authorization="", **PREFLIGHT)
    assert ALLOW not in other.headers
    assert "Access-Control-Allow-Methods" not in other.headers


def test_odd_names_of_fields_are_not_given_back(service: Service) -> None:
    wanted = {**PREFLIGHT, "Access-Control-Request-Headers": "a;b"}
    answer = call(service, "OPTIONS", "/models/Churn", PAGE, **wanted)
    assert "Access-Control-Allow-Headers" not in answer.headers


def test_all_is_flat_unless_a_request_wants_names(service: Service) -> None:
    """As the original did; members that several models have are named in a field."""
    answer = call(service, "POST", "/models/all?models=Churn,Price,Big,Raises", PAGE)
    problem = answer.json().pop("Raises")
    assert problem["status"] == 500
    assert answer.json() | {"Raises": 0} == {
        "value": "Price",
        "big": 10**30,
        "x": [1.5],
        "Raises": 0,
    }
    assert str(10**30) in answer.text
    assert answer.headers["X-Modelsync-Collisions"] == "value=Churn,Price"
    named = call(service, "POST", "/models/all?models=Churn,Price&flat=false", PAGE)
    assert named.json() == {"Churn": {"value": "Churn"}, "Price": {"value": "Price"}}
    assert "X-Modelsync-Collisions" not in named.headers


@pytest.mark.parametrize("origins", ["*", PAGE, ""])
def test_other_servers_answer_alike(tmp_path: Path, origins: str) -> None:
    """Under gunicorn's own workers Flask answers; a wildcard never comes with cookies."""
    client = create_app(a_service(tmp_path, MODELSYNC_CORS_ORIGINS=origins)).test_client()
    for path, method in (("/models/", "GET"), ("/models/Nobody", "POST"), ("/livez", "GET")):
        fields = send(client, method, path).headers
        assert fields.get(ALLOW) == (origins or None)
        credentials = "true" if origins == PAGE else None
        assert fields.get("Access-Control-Allow-Credentials") == credentials
    answer = send(client, "OPTIONS", "/models/Echo", **PREFLIGHT)
    assert answer.status_code == (204 if origins else 200)
    assert ("Access-Control-Allow-Methods" in answer.headers) == bool(origins)


def send(client: FlaskClient, method: str, path: str, **headers: str) -> Any:
    return client.open(path, method=method, headers={"Origin": PAGE, **headers})


def test_without_origins_nothing_is_said(tmp_path: Path) -> None:
    models = tmp_path / "models_serve"
    write_model(models, "Churn", answers(1, "Churn"))
    with serving(tmp_path, models) as service:
        for method, path in (("POST", "/models/Churn"), ("GET", "/models/"), ("OPTIONS", "/livez")):
            answer = call(service, method, path, PAGE, **PREFLIGHT)
            assert not [name for name in answer.headers if name.startswith("Access-Control")]
