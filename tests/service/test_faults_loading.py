"""A push that breaks models: these alone go on as they were, and everybody is told why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.load import load
from tests.fixtures.service import Service, answers, serving, write_model
from tests.service.faulty import Client, model
from tests.waiting import setting, told, until

pytestmark = pytest.mark.long

SEGFAULT = "import ctypes\nctypes.string_at(0)"

BROKEN = {
    "Syntax": ("def oops(:\n", "SyntaxError", 1),
    "Import": (
        model(top="\nimport no_such_library"),
        "add the line no_such_library to requirements-models.txt",
        2,
    ),
    "Init": (
        model(init="raise ValueError('no such file: ' + path)"),
        "ValueError: no such file",
        6,
    ),
    "Endless": (model(top="while True:\n    pass"), f"within {told(3)}", None),
    "Exit3": (model(top="import sys\nsys.exit(3)"), "SystemExit: 3", 2),
    "Exit4": (model(init="raise SystemExit(4)"), "SystemExit: 4", 6),
    "Interrupt": (model(top="raise KeyboardInterrupt"), "KeyboardInterrupt", 1),
    "Hard3": (model(top="import os\nos._exit(3)"), "exit code 3", None),
    "Hard4": (model(top="import os\nos._exit(4)"), "exit code 4", None),
    "Segfault": (model(top=SEGFAULT), "SIGSEGV", 2),
    "Overflow": (
        model(
            top="import sys\nsys.setrecursionlimit(10 ** 9)\n"
            "def f(): f.__class__(f.__code__, {'f': f})()\nf()"
        ),
        "",
        None,
    ),
    "Helper": (model(top="import helper"), "ZeroDivisionError", 1),
}
"""By name: the code, what the fault says, and its line."""

NEW = ["Syntax", "Import", "Init", "Exit3", "Segfault"]
"""Those that are also there as a model that has never worked."""


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A service whose second release breaks all models but `Good`; the `New...` ones have never
    worked.
    """
    folder = tmp_path_factory.mktemp("broken")
    models = folder / "models"
    for name in (*BROKEN, "Good"):
        write_model(models, name, answers("first"))
    with serving(folder, models, MODELSYNC_CHECK_TIMEOUT=setting(3)) as service:
        first = service.release()["id"]
        with load(service.port, "/models/Good", b'{"variables": {}}', connections=2) as tally:
            for name, (code, _, _) in BROKEN.items():
                write_model(models, name, code, helper__py="1 / 0")
                if name in NEW:
                    write_model(models, f"New{name}", code)
            write_model(models, "Good", answers("first"), more__txt="a new version")
            service.sync()
            until(lambda: service.release()["id"] != first, 60)
            until(
                lambda: (
                    service.post("Good").headers["X-Modelsync-Release"]
                    == service.release()["commit"]
                )
            )
        assert tally.failures == []
        client = Client(service)
        yield client
        assert client.leaks() == []


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_model_goes_on_with_its_previous_version(client: Client, name: str) -> None:
    """It answers as before; the status, `release.json`, `/metrics` and the log tell what is wrong,
    and where.
    """
    _, message, line = BROKEN[name]
    assert client.value(name) == "first"
    about = client.about(name)
    assert about["state"] == "stale"
    assert about["version"] != about["wanted_version"]
    assert message in f"{about['fault']['message']} {about['fault']['hint']}"
    recorded = next(
        one for one in client.service.release()["models"].values() if one["name"] == name
    )
    assert recorded["fault"] == about["fault"]
    if line:
        assert (about["fault"]["file"], about["fault"]["line"]) == (
            "helper.py" if name == "Helper" else "etls.py",
            line,
        )
    sample = (
        f'modelsync_model_loaded{{model="{name}",state="stale",version="{about["version"]}"}} 1.0'
    )
    assert sample in client.get("/metrics").text
    assert client.service.lines(
        event="model_broken", model=name, state="stale", line=about["fault"]["line"]
    )


@pytest.mark.parametrize("name", [f"New{name}" for name in NEW])
def test_a_model_that_never_worked_says_why(client: Client, name: str) -> None:
    """503 with the reason, and no Retry-After: waiting does not help."""
    answer = client.post(name)
    assert answer.status_code == 503
    assert BROKEN[name.removeprefix("New")][1] in answer.json()["detail"]
    assert "Retry-After" not in answer.headers
    assert client.about(name)["state"] == "failed"
    assert (
        f'modelsync_model_loaded{{model="{name}",state="failed",version=""}} 0.0'
        in client.get("/metrics").text
    )


def test_the_good_ones_are_new_and_the_service_is_ready(client: Client) -> None:
    """One broken model never holds up another, nor readiness, which lists it."""
    assert client.value("Good") == "first"
    assert client.about("Good")["state"] == "ready"
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert "NewSyntax" in ready.text
    every = client.post("all").json()
    assert every["Good"] == {"value": "first"}
    assert every["NewSyntax"]["status"] == 503


# --- policies -------------------------------------------------------------------------------------


def push(service: Service, models: Path) -> None:
    write_model(models, "Bad", model(top="1 / 0"))
    write_model(models, "Good", answers("second"))
    service.sync()


def test_drop(tmp_path: Path) -> None:
    """`drop`: a broken model answers 503 with the reason until it is mended; others are new."""
    models = tmp_path / "models"
    write_model(models, "Bad", answers("first"))
    write_model(models, "Good", answers("first"))
    with serving(tmp_path, models, MODELSYNC_ON_BROKEN_MODEL="drop") as service:
        client = Client(service)
        push(service, models)
        until(lambda: client.value("Good") == "second", 30)
        assert "etls.py:1: ZeroDivisionError" in client.problem("Bad", 503)["detail"]
        write_model(models, "Bad", answers("third"))
        service.sync()
        until(lambda: client.post("Bad").json().get("value") == "third", 30)
        assert client.leaks() == []


def test_reject(tmp_path: Path) -> None:
    """`reject`: nothing of the push is served, the reason is in the status and the metrics; the
    next good one is.
    """
    models = tmp_path / "models"
    write_model(models, "Bad", answers("first"))
    write_model(models, "Good", answers("first"))
    with serving(tmp_path, models, MODELSYNC_ON_BROKEN_MODEL="reject") as service:
        client = Client(service)
        workers = {worker.pid for worker in service.workers()}
        push(service, models)
        until(lambda: service.status()["reason"] == "rejected", 30)
        assert "Bad: etls.py:1: ZeroDivisionError" in service.status()["message"]
        assert (client.value("Good"), client.value("Bad")) == ("first", "first")
        assert {worker.pid for worker in service.workers()} == workers
        assert 'modelsync_sync_failures_total{reason="rejected"} 1.0' in client.get("/metrics").text
        assert client.get("/readyz").status_code == 200
        write_model(models, "Bad", answers("third"))
        service.sync()
        until(lambda: client.value("Bad") == "third", 30)
        assert client.value("Good") == "second"
        assert client.leaks() == []


# --- folders that come and go ---------------------------------------------------------------------


def test_a_model_that_is_removed_or_renamed(tmp_path: Path) -> None:
    """Its requests in flight end with 200; then its route is 404, and the new name answers."""
    models = tmp_path / "models"
    slow = model("import time; time.sleep(2)\nreturn {}")
    write_model(models, "Removed", slow)
    write_model(models, "Renamed", answers("same"))
    with serving(tmp_path, models) as service:
        client = Client(service)
        with load(service.port, "/models/Removed", b'{"variables": {}}', connections=4) as tally:
            until(lambda: 'in_flight{model="Removed"} 4.0' in service.get("/metrics").text)
            for file in (models / "Removed").iterdir():
                file.unlink()
            (models / "Removed").rmdir()
            (models / "Renamed").rename(models / "Named")
            service.sync()
            until(lambda: client.post("Named").status_code == 200, 30)
        # Of the clients that never stop, each may learn with its next request that the model has
        # gone.
        assert [one for one in tally.failures if not one.startswith("404")] == []
        assert tally.answered - len(tally.failures) >= 4
        assert client.post("Removed").status_code == 404
        assert client.post("Renamed").status_code == 404
        assert client.get("/models/Removed").status_code == 404
        assert client.value("Named") == "same"
        assert client.leaks() == []
