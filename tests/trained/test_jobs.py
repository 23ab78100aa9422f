"""The job resource: waiting, events, the log, cancelling, repeated requests."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from tests.trained.client import ROWS, TRAIN, Client
from tests.trained.test_life_cycle import problem
from tests.waiting import patient, until

pytestmark = pytest.mark.training


def asked(client: Client, headers: dict[str, str] | None = None, **body: Any) -> requests.Response:
    """Ask for a fit; nobody waits for it."""
    body = {"x": ROWS, "y": [1, 2, 3, 4], **body}
    return client.call("PUT", "Mean", body, headers=headers or {})


def events(client: Client, job: str, last: str = "") -> list[tuple[str, str, Any]]:
    """Kind, id and data of each event of a job, up to the end of the stream."""
    headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last} if last else {})}
    answer = requests.get(client.service.url + job, headers=headers, timeout=patient(120))
    assert answer.headers["Content-Type"] == "text/event-stream"
    found = []
    for block in answer.text.split("\n\n"):
        lines = [line.partition(": ") for line in block.splitlines()]
        fields = {name: value for name, separator, value in lines if separator}
        if "event" in fields:
            found.append((fields["event"], fields["id"], json.loads(fields["data"])))
    return found


def test_events_of_a_job(client: Client) -> None:
    """Its log and its states come as they are made, then the end; a client that connects again
    gets what it has missed, and at the end no stream.
    """
    job = asked(client, name="told", params={"seconds": 1.0}).json()["job"]
    with ThreadPoolExecutor(12) as pool:  # more than the service has threads for pages
        streams = [pool.submit(events, client, job) for _ in range(12)]
        assert client.service.get("/models/usage").status_code == 200
        found = [stream.result() for stream in streams]
    assert "state" in {kind for one in found for kind, _, _ in one}
    for one in found:
        assert [kind for kind, _, _ in one][-1] == "done"
        assert "fitting 4 rows" in "".join(data["text"] for kind, _, data in one if kind == "log")
        assert one[-1][2]["metadata"]["state"] == "done"
    first_log = next(index for index, event in enumerate(found[0]) if event[0] == "log")
    again = events(client, job, last=found[0][first_log][1])
    assert "fitting 4 rows" not in str(again)
    assert again[-1][0] == "done"
    answer = requests.get(
        client.service.url + job,
        headers={"Accept": "text/event-stream", "Last-Event-ID": found[0][-1][1]},
        timeout=60,
    )
    assert answer.status_code == 204


def test_many_who_wait_hold_nobody_up(client: Client) -> None:
    """Twenty clients wait for one job; a page answers, and all get the end."""
    job = asked(client, name="awaited", params={"seconds": 1.5}).json()["job"]

    def wait() -> requests.Response:
        headers = {"Prefer": "respond-async, wait=100"}
        return requests.get(client.service.url + job, headers=headers, timeout=patient(120))

    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(wait) for _ in range(20)]
        assert client.service.get("/models/usage").status_code == 200
        assert not waiting[0].done()
        answers = [one.result() for one in waiting]
    assert {answer.json()["metadata"]["state"] for answer in answers} == {"done"}
    assert {answer.headers["Preference-Applied"] for answer in answers} == {"wait=100"}


def test_waiting_ends(client: Client) -> None:
    """A job that takes longer than a client waits for is answered as it is then; it goes on, until
    it is cancelled.
    """
    prefer = {"Prefer": "respond-async, wait=1"}  # the example of RFC 7240, 4.3
    answer = asked(client, prefer, name="long", params={"seconds": 600})
    assert answer.status_code == 202
    assert answer.headers["Preference-Applied"] == "respond-async, wait=1"
    job = answer.json()["job"]
    path = job.removeprefix("/models/")
    state = until(
        lambda: s if (s := client.call("GET", path).json()["metadata"])["started"] else None
    )
    assert state["state"] == "running"
    assert client.call("GET", "Mean?key=long").json()["message"] == "RUNNING"
    assert client.call("DELETE", path).status_code in (200, 202)
    ended = client.ended(job)
    assert ended["metadata"]["state"] == "cancelled"
    assert ended["error"]["message"]
    assert client.call("GET", "Mean?key=long").json()["message"] == "CANCELLED"


def test_a_failed_fit_says_why(client: Client) -> None:
    """The job has the exception, and the log its traceback; the version before goes on serving."""
    before = client.fit(name="good", y=[3, 3, 3, 3])
    answer = asked(client, {"Prefer": "wait=120"}, name="bad", params={"wrong": "it is Monday"})
    found = answer.json()
    assert (answer.status_code, found["done"]) == (200, True)
    assert found["error"]["kind"] == "ValueError"
    assert "it is Monday" in found["error"]["message"]
    assert "it is Monday" in client.service.get(found["metadata"]["log"]).text
    assert client.call("GET", "Mean").json()["current"]["number"] == before["version"]
    assert client.predict() == [3.0, 3.0]
    problem(client.call("POST", "Mean", {"x": [[1]], "key": "bad"}), 404)


def test_an_idempotency_key_gives_the_same_job(client: Client) -> None:
    """Also if several requests come at once; with another body it is refused."""
    headers = {"Idempotency-Key": "once"}

    def ask(_: int) -> requests.Response:
        return asked(client, headers, name="once", retrain=True)

    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(ask, range(6)))
    assert {answer.status_code for answer in answers} <= {200, 202, 409}
    jobs = {answer.json()["job"] for answer in answers if answer.status_code != 409}
    assert len(jobs) == 1
    assert asked(client, headers, name="once", retrain=True).json()["job"] in jobs
    detail = problem(asked(client, headers, name="once", y=[9, 9, 9, 9], retrain=True), 422)
    assert "Idempotency-Key" in detail


def test_jobs_are_listed(client: Client) -> None:
    """The newest first, each with its URL; the page of all models shows those that go on."""
    job = asked(client, name="listed", params={"seconds": 600}).json()["job"]
    listed = client.call("GET", "Mean/jobs").json()["jobs"]
    assert listed[0]["name"] == job
    index = requests.get(f"{client.service.base}/", timeout=60).json()
    [mean] = [model for model in index["models"] if model["name"] == "Mean"]
    assert job in [one["name"] for one in mean["training"]["jobs"]]
    page = requests.get(
        f"{client.service.base}/",
        headers={"Accept": "text/html", "Authorization": f"Bearer {TRAIN}"},
        timeout=60,
    )
    assert job in page.text
    client.call("DELETE", job.removeprefix("/models/"))
    client.ended(job)
