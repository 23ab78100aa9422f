"""The resource of training runs: asked for, waited for, listed, told why one has failed."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

import pytest
import requests

from tests.command import modelsync
from tests.trained.client import Client
from tests.trained.test_life_cycle import problem
from tests.waiting import until

pytestmark = pytest.mark.training

TODAY = date.today()
WAIT = {"Prefer": "wait=120"}
BROWSER = {"Accept": "text/html,application/xhtml+xml"}


def trained(client: Client, model: str, day: date | str | None = None) -> dict[str, Any]:
    """A run that was asked for and waited for."""
    body = {"date": str(day)} if day else None
    answer = client.call("POST", f"{model}/runs", body, headers=WAIT)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_run_trains_and_serves(client: Client) -> None:
    """Asked for, waited for, and what it has made answers; the model's status tells of it."""
    run = trained(client, "Fetcher", TODAY - timedelta(days=1))
    assert (run["state"], run["outcome"], run["trigger"]) == ("done", "promoted", "command")
    assert run["date"] == str(TODAY - timedelta(days=1))
    assert client.predict("Fetcher") == [42, 42]
    status = client.call("GET", "Fetcher").json()
    assert status["current"]["number"] == run["version"]
    assert status["training"]["last"]["number"] == run["number"]
    assert (status["training"]["schedule"], status["training"]["next"]) == (None, None)
    assert client.call("GET", f"Fetcher/runs/{run['number']}").json() == run
    version = requests.get(client.service.url + run["version_url"], timeout=60).json()
    assert version["job"] == run["job"]


def test_runs_are_listed(client: Client) -> None:
    """The newest first; of one day; as many as are asked for."""
    days = [TODAY - timedelta(days=back) for back in (3, 2)]
    numbers = [trained(client, "Fetcher", day)["number"] for day in days]

    def listed(query: str = "") -> list[int]:
        found = client.call("GET", f"Fetcher/runs{query}").json()["runs"]
        return [one["number"] for one in found]

    assert listed()[:2] == numbers[::-1]
    assert listed(f"?date={days[0]}") == numbers[:1]
    assert len(listed("?limit=1")) == 1


def test_a_failed_run_says_why(client: Client) -> None:
    """Which column, which rule, how many rows and which; in JSON, on the pages, in the command."""
    run = trained(client, "Priced")
    assert (run["state"], run["error"]["step"]) == ("failed", "check")
    (broken,) = run["report"]["violations"]
    assert (broken["column"], broken["count"]) == ("rooms", 1)
    assert broken["examples"] == [[2, -3]]
    assert client.call("GET", "Priced").json()["current"] is None
    page = requests.get(f"{client.service.base}/Priced/runs", headers=BROWSER, timeout=60)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    for shown in (str(TODAY), "Failed at check", "rooms", "row 2: -3"):
        assert shown in page.text, page.text
    index = requests.get(f"{client.service.base}/", headers=BROWSER, timeout=60).text
    assert f"Training with {TODAY}" in index
    home = str(client.service.home)
    table = modelsync("runs", "Priced", cwd=client.service.home, MODELSYNC_HOME=home)
    assert table.returncode == 0, table.stderr
    assert "failed" in table.stdout
    listed = modelsync("runs", "--failed", "--json", cwd=client.service.home, MODELSYNC_HOME=home)
    assert run["number"] in {one["number"] for one in json.loads(listed.stdout)}


def test_a_run_that_goes_on_is_given_again(client: Client) -> None:
    """To who asks for its day; another day has to wait."""
    day = TODAY - timedelta(days=5)
    answer = client.call("POST", "Fetcher/runs", {"date": str(day)})
    assert answer.status_code == 202, answer.text
    run = answer.json()
    assert answer.headers["Location"] == run["url"]
    assert answer.headers["Retry-After"]
    again = client.call("POST", "Fetcher/runs", {"date": str(day)})
    assert again.json()["number"] == run["number"]
    other = client.call("POST", "Fetcher/runs", {"date": str(day - timedelta(days=1))})
    detail = problem(other, 409)
    assert f"run {run['number']}" in detail
    until(lambda: client.call("GET", f"Fetcher/runs/{run['number']}").json()["done"], 60)


@pytest.mark.parametrize(
    ("model", "body", "status", "says"),
    [
        ("Fetcher", {"date": "26.11.2026"}, 422, "expected YYYY-MM-DD, got '26.11.2026'"),
        ("Fetcher", {"date": "2999-01-01"}, 422, "in the future"),
        ("Fetcher", {"day": "2026-11-26"}, 422, "not day"),
        ("Fetcher", [], 422, "YYYY-MM-DD"),
        ("Mean", {}, 405, "Mean is not trained by itself: its fit has no data"),
        ("Plain", {}, 405, "Plain has no method fit"),
        ("Nobody", {}, 404, "There is no model 'Nobody'"),
    ],
)
def test_what_cannot_be_asked_for(
    client: Client, model: str, body: Any, status: int, says: str
) -> None:
    """It is said what is wrong, and nothing is begun."""
    answer = client.call("POST", f"{model}/runs", body)
    assert says in problem(answer, status)
    if status == 405:
        assert "POST" not in answer.headers["Allow"].split(", ") or model == "Plain"


@pytest.mark.parametrize("number", ["0", "999999", "-1", "1e3", "first", "9" * 40])
def test_an_unknown_run(client: Client, number: str) -> None:
    """404, whatever stands for the number."""
    answer = client.call("GET", f"Fetcher/runs/{number}")
    assert "run" in problem(answer, 404)


@pytest.mark.parametrize("query", ["limit=0", "limit=1000", "limit=all", "date=today"])
def test_a_malformed_query_is_told(client: Client, query: str) -> None:
    """With what was expected."""
    answer = client.call("GET", f"Fetcher/runs?{query}")
    assert "expected" in problem(answer, 422)


def test_who_may_not_train_is_refused(client: Client) -> None:
    """Runs are shown to who may predict, and asked for by who may train."""
    url = f"{client.service.base}/Fetcher/runs"
    assert requests.post(url, timeout=60).status_code == 401
    assert requests.get(url, timeout=60).status_code == 200


def test_the_api_reference_has_runs(client: Client) -> None:
    """Of models that are trained."""
    paths = client.call("GET", "openapi.json").json()["paths"]
    assert set(paths["/models/Fetcher/runs"]) == {"get", "post"}
    assert "get" in paths["/models/Fetcher/runs/{number}"]
    assert "/models/Plain/runs" not in paths
