from __future__ import annotations

import html
import json
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

from modelsync.api import samples
from modelsync.api.app import create_app
from modelsync.inference.serving import Service
from modelsync.models.binding import methods
from modelsync.models.types import LoadedModel, ModelName, ModelSpec, TreeHash
from modelsync.sync.status import Status, write_status
from tests.api.serving import (
    COMMIT,
    JSON,
    VERSION,
    a_service,
    person,
    read,
    switched_off,
    the_examples,
)
from tests.waiting import patient

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
EVIL = "<img src=x onerror=alert(1)>"


def test_the_page_is_html_for_a_browser_and_json_for_a_program(client: FlaskClient) -> None:
    """The index is HTML if Accept prefers it, else JSON, also for `*/*` as curl sends it."""
    for headers in ({}, {"Accept": "*/*"}, {"Accept": "application/json"}):
        answer = client.get("/models/", headers=headers)
        assert answer.headers["Content-Type"] == "application/json"
    found = {model["name"]: model for model in read(answer)["models"]}
    assert found["Add"]["state"] == "ready"
    assert found["Add"]["version"] == VERSION
    assert (found["Old"]["state"], found["Broken"]["state"]) == ("stale", "failed")
    assert read(answer)["release"] == COMMIT
    page = client.get("/models/", headers=BROWSER)
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    for shown in ("Add", "stale", "failed", "xgboost", VERSION[:8], COMMIT[:12]):
        assert shown in page.text


def test_a_model_that_is_switched_off_is_shown_as_that_everywhere(tmp_path: Path) -> None:
    """Each page tells the state, its reason and the remedy; the service stays ready."""
    client = create_app(switched_off(a_service(tmp_path), "Echo")).test_client()
    told = read(client.get("/models/Echo"))
    assert (told["state"], told["switched_off"]) == ("switched_off", True)
    assert "switched off" in told["reason"]
    assert "push a new version" in told["reason"]
    [line] = [model for model in read(client.get("/models/"))["models"] if model["name"] == "Echo"]
    assert (line["state"], line["reason"]) == ("switched_off", told["reason"])
    page = client.get("/models/", headers=BROWSER).text
    assert "3 ready · 1 stale · 1 switched off · 1 failed" in " ".join(page.split())
    assert '<span class="badge switched_off">switched off</span>' in page
    assert told["reason"] in page
    usage = client.get("/models/usage").text
    assert "4 models" in usage
    assert "/models/Add" in usage
    assert "/models/Echo" not in usage
    assert f"Echo does not answer: {told['reason']}" in usage
    assert read(client.get("/models/sync"))["broken"]["Echo"] == told["reason"]
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert read(ready)["not_ready"]["Echo"] == "switched_off"


def test_the_page_tells_of_a_failed_sync(tmp_path: Path) -> None:
    """The index page tells why the last sync failed, and that the old release still answers."""
    write_status(
        tmp_path,
        Status(
            "d" * 40,
            last_result="failed",
            reason="auth",
            message=EVIL,
            last_attempt="2026-01-01T00:00:00",
        ),
    )
    page = create_app(a_service(tmp_path)).test_client().get("/models/", headers=BROWSER).text
    assert "The last sync failed" in page
    assert "still answers" in page
    assert html.escape(EVIL) in page
    assert EVIL not in page


def test_nothing_that_a_model_says_is_taken_for_html(tmp_path: Path) -> None:
    """Docstrings and faults, which everyone who may push can write, are escaped."""

    def evil(variables: dict) -> dict:  # type: ignore[type-arg]
        return {}

    evil.__doc__ = EVIL
    client = create_app(a_service(tmp_path, models={"Evil": evil})).test_client()
    assert EVIL not in client.get("/models/", headers=BROWSER).text
    assert html.escape(EVIL) in client.get("/models/", headers=BROWSER).text


def test_usage_holds_a_line_that_works_for_each_model(client: FlaskClient) -> None:
    """The usage text is plain; each of its curl commands works when it is pasted."""
    answer = client.get("/models/usage", base_url="https://models.example")
    assert answer.headers["Content-Type"].startswith("text/plain")
    lines = [
        shlex.split(line) for line in answer.text.splitlines() if line.strip().startswith("curl")
    ]
    called = {line[2]: line[line.index("-d") + 1] for line in lines}
    assert set(called) == {
        f"https://models.example/models/{name}"
        for name in ("Add", "Echo", "Old", "Person", "Raises")
    }
    for url, body in called.items():
        sent = client.post(url.removeprefix("https://models.example"), data=body, headers=JSON)
        assert sent.status_code == (500 if url.endswith("Raises") else 200), sent.text
    assert json.loads(called["https://models.example/models/Echo"]) == {
        "variables": {"<name>": "<value>"}
    }
    assert "Broken does not answer" in answer.text


def test_usage_shows_where_the_token_goes(tmp_path: Path) -> None:
    """The curl commands hold a variable for the token, never the token."""
    client = create_app(a_service(tmp_path, MODELSYNC_PREDICT_TOKENS="p1secret")).test_client()
    text = client.get("/models/usage", headers={"Authorization": "Bearer p1secret"}).text
    assert "Bearer $TOKEN" in text
    assert "p1secret" not in text


def test_a_made_up_request_fits_the_schema() -> None:
    """The sample of a model without examples fits references, limits, choices and nesting."""
    call, schema = methods.bind(person)
    model = LoadedModel(ModelSpec(ModelName("Person"), Path(), TreeHash("")), call, schema=schema)
    assert samples.variables(model) == {"name": "text", "address": {"street": "text"}}
    limited = {
        "type": "object",
        "required": ["low", "high", "kind", "when", "list", "maybe"],
        "properties": {
            "low": {"type": "integer", "minimum": 18},
            "high": {"type": "number", "exclusiveMaximum": 0},
            "kind": {"enum": ["a", "b"]},
            "when": {"type": "string", "format": "date"},
            "list": {"type": "array", "items": {"type": "boolean"}},
            "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        },
    }
    model.schema = limited
    made = {"low": 18, "high": -1.0, "kind": "a", "when": "2026-01-31", "list": [True], "maybe": 1}
    assert samples.variables(model) == made


def test_pages_load_nothing_from_elsewhere(client: FlaskClient) -> None:
    """Pages have no CDN, no inline script and no inline style: their CSP would refuse them."""
    for path in ("/models/", "/models/docs"):
        answer = client.get(path, headers=BROWSER)
        assert "://" not in answer.text.replace("http://www.w3.org", "")
        assert " style=" not in answer.text
        assert "<style" not in answer.text
        assert answer.text.count("<script") == answer.text.count(
            '<script type="module" src="/models/static/'
        )
    assert (
        client.get("/models/static/docs.js").headers["Content-Type"].startswith("text/javascript")
    )
    assert client.get("/models/static/../app.py").status_code == 404


def test_a_browser_without_a_token_is_asked_for_one(tmp_path: Path) -> None:
    """The answer is a form with status 401 that tells nothing of the models."""
    client = create_app(a_service(tmp_path, MODELSYNC_PREDICT_TOKENS="p1")).test_client()
    answer = client.get("/models/", headers=BROWSER)
    assert answer.status_code == 401
    assert 'type="password"' in answer.text
    assert "Add" not in answer.text
    assert "Add" in client.get("/models/", headers={**BROWSER, "Authorization": "Bearer p1"}).text


# --- in a real browser ----------------------------------------------------------------------------


class Visitor:
    """The application, with a script of the test added to every page: what a person would click and
    type.
    """

    def __init__(self, app: Any, script: str) -> None:
        self.app = app
        self.script = script

    def __call__(self, environ: Any, start_response: Any) -> Any:
        if environ["PATH_INFO"] == "/visitor.js":
            return Response(self.script, content_type="text/javascript")(environ, start_response)
        answer = Response.from_app(self.app, environ)
        if answer.mimetype == "text/html":
            answer.data = answer.get_data(as_text=True).replace(
                "</head>", '<script src="/visitor.js"></script></head>'
            )
        return answer(environ, start_response)


SEEN = """
function seen(selector) {
  return new Promise((resolve) => {
    const find = () => document.querySelector(selector);
    const look = () => find() ? resolve(find()) : setTimeout(look, 20);
    look();
  });
}
"""


@contextmanager
def served(service: Service, script: str = "") -> Iterator[str]:
    server = make_server("127.0.0.1", 0, Visitor(create_app(service), SEEN + script), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()


def dom(url: str, *, complains: bool = False) -> str:
    """The page after its scripts have run. A refused token is something that the browser
    `complains` about.
    """
    assert CHROMIUM
    with tempfile.TemporaryDirectory() as profile:
        command = [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
        ]
        command += [
            f"--user-data-dir={profile}",
            "--virtual-time-budget=5000",
            "--enable-logging=stderr",
            "--dump-dom",
        ]
        done = subprocess.run([*command, url], capture_output=True, timeout=patient(60), check=True)
    complaints = [line for line in done.stderr.decode().splitlines() if "CONSOLE" in line]
    assert complains or not complaints
    return done.stdout.decode()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_reference_shows_a_model_in_a_browser(tmp_path: Path) -> None:
    """The docs page shows fields, examples and responses without a complaint of the CSP."""
    with served(a_service(tmp_path)) as url:
        shown = dom(f"{url}/models/docs#Person")
        for text in ("address.street", "required", '"small" | "large"', "Knows people.", "422"):
            assert html.escape(text, quote=False) in shown, text
        assert shown.count("<li ") >= 10
        shown = dom(f"{url}/models/docs#Add")
        assert "Adds &lt;two&gt; &amp; more numbers." in shown
        assert json.dumps({"sum": 3}, indent=2) in shown


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_the_reference_shows_the_columns_of_a_schema(tmp_path: Path) -> None:
    """The page of a model links that of its query, whose parameters have types and a sample."""
    with the_examples(tmp_path) as service, served(service) as url:
        shown = dom(f"{url}/models/docs#Titanic")
        assert 'href="#query_Titanic"' in shown
        assert shown.count("query_Titanic") == 1
        assert html.escape('"female" | "male"', quote=False) in shown
        shown = dom(f"{url}/models/docs#query_Titanic")
        assert "1 | 2 | 3" in shown
        assert "≥ 0, ≤ 120, default 0" in shown
        assert re.search('value="class=[123]&amp;sex=(fe)?male&amp;age=', shown)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_closed_reference_asks_for_a_token(tmp_path: Path) -> None:
    """The docs page tells nothing of the models before it has a token."""
    with served(a_service(tmp_path, MODELSYNC_PREDICT_TOKENS="p1")) as url:
        shown = dom(f"{url}/models/docs", complains=True)
    assert '<form class="token" id="signin">' in shown
    assert "Add" not in shown


TRY = """
seen("#send").then(async (button) => {
  document.querySelector("#body").value = '{"variables": {"a": 40}}';
  button.click();
  await seen("#outcome.badge");
});
"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_model_can_be_tried_from_the_reference(tmp_path: Path) -> None:
    """The form sends the typed request and shows the response."""
    with served(a_service(tmp_path), TRY) as url:
        shown = dom(f"{url}/models/docs#Add")
    assert json.dumps({"sum": 42}, indent=2) in shown
    assert "200 OK in" in shown


SIGN_IN = """
seen("#signin:not([hidden]) input").then((input) => {
  input.value = "p1";
  input.form.querySelector("button").click();
});
"""


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
@pytest.mark.parametrize("path", ["/models/", "/models/docs#Add"])
def test_a_token_that_is_typed_opens_the_pages(tmp_path: Path, path: str) -> None:
    """A typed token opens the index page and the docs page."""
    with served(a_service(tmp_path, MODELSYNC_PREDICT_TOKENS="p1"), SIGN_IN) as url:
        shown = dom(f"{url}{path}", complains=True)
    assert "Adds &lt;two&gt; &amp; more numbers." in shown
