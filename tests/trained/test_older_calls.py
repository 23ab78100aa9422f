"""The calls of two older systems, as their users send them: *ml-server* and *ml_serving_app*."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import requests

from tests.trained.client import Client
from tests.trained.test_life_cycle import problem
from tests.waiting import patient, until

pytestmark = pytest.mark.training

X = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [0.5, 0.5, 1.5, 1.5]})
Y = pd.DataFrame({"y": [1, 2, 3, 4]})


def body(**more: Any) -> dict[str, Any]:
    """What ml-server's clients send: JSON texts in JSON."""
    return {
        "x": X.to_json(orient="split"),
        "y": Y.to_json(orient="split"),
        "orient": "split",
        **more,
    }


def test_ml_server(client: Client) -> None:
    """Train by PUT, ask by GET, predict in the same orient, update, delete; the key is the name or
    a hash of data and parameters.
    """
    asked = body(name="older", modkwargs={"c": 1}, algkwargs={"seconds": 0.1}, retrain=False)
    answer = client.call("PUT", "Mean", asked)
    assert answer.status_code in (200, 202), answer.text
    key = answer.json()["model-key"]
    assert key == answer.json()["model_key"] == answer.json()["key"] == "older"
    until(lambda: client.call("GET", f"Mean?key={key}").json()["message"] == "DONE", 60)
    found = client.call("GET", "Mean", params={"model-key": key}).json()
    assert (found["message"], found["metadata"]["params"]) == ("DONE", {"c": 1, "seconds": 0.1})

    again = client.call("PUT", "Mean", asked)
    assert (again.status_code, again.json()["version"]) == (200, found["version"])

    for name in ("key", "model-key", "model_key"):
        answer = client.call("POST", "Mean", {"x": asked["x"], "orient": "split", name: key})
        y = answer.json()["y"]
        y = json.loads(y) if isinstance(y, str) else y
        assert y["data"] in ([2.5] * 4, [[2.5]] * 4), answer.text
    plain = client.call("POST", "Mean", {"x": X.to_dict("list"), "key": key})
    assert plain.json()["y"] == [2.5] * 4

    update = client.call("PATCH", "Mean", {**body(), "model-key": key})
    assert update.status_code in (200, 202), update.text
    client.ended(update.json()["job"])

    nobody = "there is no such key"
    for method in ("GET", "DELETE"):
        assert nobody in problem(client.call(method, "Mean", params={"key": nobody}), 404)
    for method in ("POST", "PATCH"):
        assert nobody in problem(client.call(method, "Mean", {**body(), "key": nobody}), 404)
    deleted = client.call("DELETE", "Mean", params={"key": key, "force": "true"})
    assert "deleted" in deleted.json()["message"]


@pytest.mark.parametrize(
    "news",
    [
        lambda told: told.get("message") == "DONE",
        lambda told: (told.get("current") or {}).get("key") == "news",
        lambda told: "news" in [one["key"] for one in told.get("versions", [])],
        lambda told: all(one["done"] for one in told["jobs"]),
    ],
    ids=["message", "current", "versions", "jobs"],
)
def test_who_asks_until_it_is_done_is_answered_by_it(
    client: Client, request: pytest.FixtureRequest, news: Callable[[dict[str, Any]], bool]
) -> None:
    """Whatever tells of a new version, the next request finds it in the workers."""
    name = request.node.callspec.id
    path = {
        "message": "Told?key=news",
        "current": "Told",
        "versions": "Told/versions",
        "jobs": "Told/jobs",
    }[name]
    client.call("DELETE", "Told", params={"force": "true"})
    asked = {"x": [[1.0], [2.0]], "y": [1, 3], "name": "news", "params": {"c": name}}
    assert client.call("PUT", "Told", asked).status_code == 202
    end = time.monotonic() + patient(60)
    while not news(requests.get(f"{client.service.base}/{path}", timeout=60).json()):
        assert time.monotonic() < end, path
    answers = [client.call("POST", "Told", {"x": [[1.0]], "key": "news"}) for _ in range(4)]
    assert [one.text for one in answers] == ['{"y":[2.0]}'] * 4


def test_ml_server_by_hash(client: Client) -> None:
    """Without a name the key is a hash: the same for the same data, in whichever form they come."""
    asked = body(algkwargs=json.dumps({"seconds": 600}))
    first = client.call("PUT", "Mean", asked).json()
    other = {**asked, "x": X.to_dict("list"), "y": {"y": [1, 2, 3, 4]}, "orient": None}
    assert client.call("PUT", "Mean", other).json()["key"] == first["key"]
    assert client.call("GET", f"Mean?key={first['key']}").json()["message"] == "RUNNING"
    client.call("DELETE", f"Mean?key={first['key']}")
    client.ended(first["job"])
    assert client.call("GET", f"Mean?key={first['key']}").json()["message"] == "CANCELLED"


def test_ml_serving_app(client: Client) -> None:
    """Routes are made by `MODELSYNC_ALIASES`: train by GET or POST, predict one row or several."""
    url = client.service.url
    headers = {"Authorization": client.call("GET", "Mean").request.headers["Authorization"]}
    before = requests.post(f"{url}/train_it", headers=headers, timeout=120)
    assert before.status_code in (200, 202), before.text
    client.ended(before.json()["job"])
    one = requests.post(f"{url}/serve_it", json={"data": [5.1, 3.5, 1.4, 0.2]}, timeout=60)
    assert one.json() == {"predictions": [42]}
    rows = requests.post(f"{url}/serve_it", json={"data": [[5.1, 3.5], [1.4, 0.2]]}, timeout=60)
    assert rows.json() == {"predictions": [42, 42]}
    problem(requests.get(f"{url}/train_it", timeout=60), 401)
