"""Fitting, predicting, updating, choosing and deleting versions of a trained model by REST."""

from __future__ import annotations

import io
from hashlib import sha256
from typing import Any

import joblib
import pytest
import requests

from tests.trained.client import ROWS, TRAIN, Client


def problem(answer: requests.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    detail: str = answer.json()["detail"]
    return detail


def test_a_fit_is_a_job_and_then_a_version(client: Client) -> None:
    """PUT is accepted with the job's URL; when it is done the next request is answered by it."""
    answer = client.call("PUT", "Mean", {"x": ROWS, "y": [1, 2, 3, 6], "name": "first"})
    assert answer.status_code == 202
    found = answer.json()
    assert found["key"] == found["model_key"] == found["model-key"] == "first"
    assert answer.headers["Location"] == found["job"]
    assert int(answer.headers["Retry-After"]) >= 1
    job = client.ended(found["job"])
    assert job["name"] == found["job"]
    assert job["metadata"]["state"] == "done"
    assert job["response"]["version"] == found["version"]
    assert client.predict() == [3.0, 3.0]
    log = client.service.get(job["metadata"]["log"])
    assert "fitting 4 rows" in log.text


def test_updates_that_come_at_once_follow_each_other(client: Client) -> None:
    """Nothing that a client has sent is lost, although no update has ended when all come."""
    client.fit(name="stream", y=[0, 0, 0, 0])
    asked = [client.call("PATCH", "Mean", {"x": ROWS, "y": [y] * 4}) for y in (4, 8, 12)]
    assert all(answer.status_code == 202 for answer in asked)
    ended = [client.ended(answer.json()["job"])["metadata"] for answer in asked]
    assert [one["parent"] for one in ended[1:]] == [one["version"] for one in ended[:-1]]
    assert client.predict() == [6.0, 6.0]


def test_two_lines_are_a_model(client: Client) -> None:
    """`fit` that returns an estimator is enough; columns are found by name, more are ignored."""
    x = {"a": [1, 2, 3, 4, 5, 6], "b": [1.5, None, 1.5, 0.5, 1.5, 0.5]}
    body = {"x": x, "y": ["no", "no", "no", "yes", "yes", "yes"], "params": {"n_estimators": 5}}
    made = client.fit("Forest", **body)
    rows = {"b": [1.5, 0.5], "c": ["?", "?"], "a": [1, 6]}
    assert client.predict("Forest", x=rows) == ["no", "yes"]
    one = client.call("POST", "Forest", {"data": {"a": [6], "b": [0.5]}}).json()
    assert one["predict"] == ["yes"]
    assert len(one["predict_proba"][0]) == 2
    assert "b" in problem(client.call("POST", "Forest", {"x": {"a": [1]}}), 422)

    file = client.call("GET", "Forest/download")
    assert file.headers["X-Modelsync-Version"] == str(made["version"])
    assert file.headers["ETag"] == f'"{sha256(file.content).hexdigest()}"'
    assert "Forest-v" in file.headers["Content-Disposition"]
    loaded = joblib.load(io.BytesIO(file.content))
    assert list(loaded.feature_names_in_) == ["a", "b"]
    about = client.call("GET", "Forest/download?metadata=true").json()
    assert about["params"] == {"n_estimators": 5}
    assert about["libraries"]["scikit-learn"]
    again = client.call("GET", "Forest/download", headers={"If-None-Match": file.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = client.call("HEAD", "Forest/download")
    assert (head.headers["Content-Length"], head.content) == (str(len(file.content)), b"")


def test_the_same_data_is_not_fitted_twice(client: Client) -> None:
    """The same data and parameters give the same key and version, unless `retrain` is true."""
    body = {"x": ROWS, "y": [1, 2, 3, 4], "params": {"seconds": 0.1}}
    first = client.call("PUT", "Mean", body, headers={"Prefer": "wait=120"}).json()
    again = client.call("PUT", "Mean", {**body, "x": {"0": [1.0, 2.0, 3.0, 4.0]}})
    assert again.json()["key"] != first["key"]  # columns with names are other data
    again = client.call("PUT", "Mean", body)
    assert again.status_code == 200
    assert again.json()["job"] == first["job"]
    retrained = client.call("PUT", "Mean", {**body, "retrain": True})
    assert retrained.status_code == 202
    assert retrained.json()["key"] == first["key"]
    assert retrained.json()["version"] > first["version"]
    other = client.call("PUT", "Mean", {**body, "params": {"seconds": 0.2}}).json()
    assert other["key"] != first["key"]
    for job in client.call("GET", "Mean/jobs").json()["jobs"]:
        client.call("DELETE", job["name"].removeprefix("/models/"))
        client.ended(job["name"])


def test_versions(client: Client) -> None:
    """Versions are found by number, key and label; promoted, rolled back, updated, deleted; each
    answer comes once all workers have taken the change over.
    """
    five = client.fit(y=[5, 5, 5, 5], name="five")["version"]
    six = client.fit(y=[6, 6, 6, 6], name="six")["version"]
    everybody_answers(client, 6.0)
    assert client.predict(key="five") == [5.0, 5.0]
    for _ in range(4):
        assert client.predict(path="?model-key=five") == [5.0, 5.0]
    assert client.predict(path=f"/versions/{five}") == [5.0, 5.0]
    assert client.predict(path=f"/versions/v{six}") == [6.0, 6.0]
    answer = client.call("POST", f"Mean/versions/{five}", {"x": [[1.0]]})
    assert answer.headers["X-Modelsync-Model-Version"].endswith(f"+{five}")

    for name, number in (("five", five), ("six", six)):
        answer = client.call("PUT", "Mean/labels/canary", {"version": name})
        assert answer.json()["version"] == number
        assert client.predict(path="/versions/canary") == client.predict(key=name)
    assert client.call("GET", "Mean/labels").json()["labels"]["canary"] == six
    listed = client.call("GET", "Mean/versions").json()
    assert [v["labels"] for v in listed["versions"] if v["key"] == "six"] == [["canary"]]
    assert client.call("DELETE", "Mean/labels/canary").status_code == 200
    assert "five" in problem(client.call("POST", "Mean/versions/canary", {"x": [[1]]}), 404)

    answer = client.call("POST", "Mean/versions/five/promote")
    assert answer.json()["current"] is True, answer.text
    everybody_answers(client, 5.0)
    status = client.call("GET", "Mean").json()
    assert (status["state"], status["current"]["number"]) == ("ready", five)
    assert client.call("POST", "Mean/rollback").json()["key"] == "six"
    everybody_answers(client, 6.0)

    wide = {"key": "five", "x": [[1, 2], [3, 4]], "y": [3, 3]}
    assert "have 2 values" in problem(client.call("PATCH", "Mean", wide), 422)
    body = {"key": "five", "x": ROWS, "y": [3, 3, 3, 3]}
    made = client.call("PATCH", "Mean", body, headers={"Prefer": "wait=120"}).json()
    assert made["metadata"]["state"] == "done", made
    assert client.predict(key="five") == [4.0, 4.0]  # a key means its newest version
    assert client.predict(path=f"/versions/{five}") == [5.0, 5.0]
    version = client.call("GET", f"Mean/versions/{made['version']}").json()
    assert (version["parent"], version["origin"], version["key"]) == (five, "update", "five")

    assert client.call("DELETE", f"Mean/versions/{six}").json()["deleted"] == 1
    problem(client.call("POST", "Mean", {"x": [[1]], "key": "six"}), 404)
    assert "force" in problem(client.call("DELETE", f"Mean/versions/{made['version']}"), 409)
    assert "in use" in problem(client.call("DELETE", "Mean"), 409)
    assert client.call("DELETE", "Mean?force=true").json()["deleted"] >= 2
    for _ in range(4):
        problem(client.call("POST", "Mean", {"x": [[1.0]]}), 409)
    assert client.call("GET", "Mean").json()["state"] == "not_fitted"


def everybody_answers(client: Client, value: float) -> None:
    """Each of the two workers predicts this now."""
    for _ in range(6):
        assert client.predict() == [value, value]


def test_a_model_that_fetches_its_data(client: Client) -> None:
    """Without a body PUT calls `train`; so does an alias, which waits and answers GET."""
    answer = client.call("PUT", "Fetcher", headers={"Prefer": "wait=120"})
    assert answer.json()["metadata"]["kind"] == "train"
    assert client.predict("Fetcher") == [42, 42]
    served = requests.post(f"{client.service.url}/serve_it", json={"data": [5.1]}, timeout=60)
    assert served.json() == {"predictions": [42]}
    headers = {"Authorization": f"Bearer {TRAIN}"}
    trained = requests.get(f"{client.service.url}/train_it", headers=headers, timeout=120)
    assert trained.status_code in (200, 202), trained.text
    assert trained.json()["version"] == answer.json()["version"] + 1
    state = requests.get(f"{client.service.url}/state", timeout=60)
    assert state.json()["name"] == "Mean"
    assert "/gone" in problem(requests.get(f"{client.service.url}/gone", timeout=60), 404)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "says"),
    [
        ("PUT", "Plain", {}, 405, "no method fit"),
        ("PUT", "Mea", {}, 404, "Mean"),
        ("PATCH", "Fetcher", {"x": [[1]], "y": [1]}, 405, "no method update"),
        ("PUT", "Mean", {}, 422, "no method train"),
        ("PUT", "Mean", {"x": [[1], [2]], "y": [1]}, 422, "y: has 1 values, x has 2 rows"),
        ("PUT", "Mean", {"x": [[1], [2, 3]], "y": [1, 2]}, 422, "row 1"),
        ("PUT", "Mean", {"x": [[1]], "y": [1], "parms": {}}, 422, "did you mean params"),
        ("PUT", "Mean", {"x": [[1]], "y": [1], "params": [1]}, 422, "params"),
        ("PUT", "Mean", {"x": [[1]]}, 422, "y: is missing"),
        ("PUT", "Mean", {"x": [[1]], "y": [1], "params": {"seconds": "x"}}, 422, "seconds"),
        ("PUT", "Mean", {"x": [[1]], "y": [1], "name": "v3"}, 422, "number"),
        ("PUT", "Mean", {"x": [[1]], "y": [1], "name": "a/b"}, 422, "cannot be a name"),
        ("PUT", "Mean", {"x": {"a": [1]}, "target": "b"}, 422, "no column 'b'"),
        ("PUT", "Mean", {"source": "nowhere.csv", "target": "y"}, 422, "nowhere.csv"),
        ("PUT", "Mean", {"x": [[1]], "y": [1], "webhook": "file:///x"}, 422, "http"),
        ("PATCH", "Mean", {"x": [[1]], "y": [1], "key": "nobody"}, 404, "nobody"),
        ("GET", "Mean/versions/nobody", None, 404, "nobody"),
        ("GET", "Mean/jobs/nobody", None, 404, "nobody"),
        ("PUT", "Mean/labels/7", {"version": 1}, 422, "number"),
        ("POST", "Mean/versions/999999/promote", None, 404, "999999"),
        ("GET", "Plain/versions", None, 405, "no method fit"),
    ],
)
def test_what_cannot_be_done_is_said(
    client: Client, method: str, path: str, body: Any, status: int, says: str
) -> None:
    """Each refusal says what was expected and what came."""
    answer = client.call(method, path, body)
    assert says in problem(answer, status)
    if status == 405:
        assert "GET" in answer.headers["Allow"]


def test_nan_is_no_json(client: Client) -> None:
    """Python writes it nevertheless; the message says what to send."""
    answer = client.call(
        "PUT",
        "Mean",
        data='{"x": [[NaN]], "y": [1]}',
        headers={"Content-Type": "application/json"},
    )
    assert "send null" in problem(answer, 400)


def test_training_needs_its_token(client: Client) -> None:
    """Who may only predict may read, and change nothing."""
    base = client.service.base
    for method, path in (
        ("PUT", "Mean"), ("PATCH", "Mean"), ("DELETE", "Mean"), ("POST", "Mean/rollback"),
        ("PUT", "Mean/versions/x"), ("DELETE", "Mean/labels/x"), ("POST", "Mean/train"),
    ):  # fmt: skip
        answer = requests.request(method, f"{base}/{path}", timeout=60)
        assert answer.status_code == 401, (method, path, answer.text)
    assert requests.get(f"{base}/Mean/versions", timeout=60).status_code == 200
