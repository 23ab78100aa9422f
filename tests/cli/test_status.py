"""`modelsync status`, `list`, `open`; what the service says at its root and in its access log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.command import modelsync, seen_by_a_person
from tests.fixtures.service import Service, answers, serving, write_model
from tests.waiting import until

BROKEN = "import nowhere_to_be_found\n\n\n" + answers(1, "Broken")


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service with a good and a broken model; its folder is given with `serve PATH`."""
    folder = tmp_path_factory.mktemp("status")
    write_model(folder / "mine", "Good", '"""Answers one."""\n' + answers(1, "Good"))
    write_model(folder / "mine", "Broken", BROKEN)
    arguments = ("mine", "--port", "0", "--host", "127.0.0.1")
    settings = {"MODELSYNC_WORKERS": "1", "MODELSYNC_ACCESS_LOG": ""}  # as without the setting
    with serving(folder, arguments=arguments, env=settings) as running:
        yield running


def ask(service: Service, *arguments: str, cwd: Path) -> tuple[int, str]:
    done = modelsync(*arguments, "--url", f"{service.url}/models/", cwd=cwd)
    return done.returncode, done.stdout + done.stderr


def test_the_status_names_what_is_wrong(service: Service, tmp_path: Path) -> None:
    """One line for each fault, short hashes, and 1 as the exit code: a script can ask."""
    code, text = ask(service, "status", cwd=tmp_path)
    commit = service.release()["commit"]
    assert code == 1
    assert text.startswith(f"ready: {commit[:12]} at {service.url}/models/\n")
    assert "models: 2, 1 with a problem\n" in text
    assert "last sync: partly at " in text
    [line] = [line for line in text.splitlines() if "Broken" in line]
    assert line.startswith("  Broken failed: etls.py:1: ModuleNotFoundError")
    assert commit not in text
    code, text = ask(service, "status", "--json", cwd=tmp_path)
    assert (code, json.loads(text)["ready"]) == (1, True)


def test_a_service_that_is_away_is_told_in_one_red_line(tmp_path: Path) -> None:
    done = modelsync("status", "--url", "127.0.0.1:9/models", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "cannot connect to http://127.0.0.1:9/models/" in done.stderr
    seen = seen_by_a_person("status", "--url", "127.0.0.1:9/models", cwd=tmp_path)
    assert "\x1b[31mmodelsync: cannot connect" in seen


def test_the_list_has_a_line_for_each_model(service: Service, tmp_path: Path) -> None:
    code, text = ask(service, "list", cwd=tmp_path)
    lines = [line.split() for line in text.splitlines()]
    version = service.release()["models"]["Good"]["version"]
    assert code == 0
    assert lines[1][:3] == ["Broken", "failed", "-"]
    assert lines[2] == ["Good", "ready", version[:12], "worker", "Answers", "one."]


def test_open_prints_the_page_where_there_is_no_browser(service: Service, tmp_path: Path) -> None:
    """On a server the URL is what is wanted; the exit code tells a script."""
    done = modelsync(
        "open", "Good", "--url", f"{service.url}/models", cwd=tmp_path, PATH="/nowhere", BROWSER=""
    )
    assert done.stdout == f"{service.url}/models/Good\n"


def test_the_root_leads_people_to_the_page_and_answers_programs(service: Service) -> None:
    told = requests.get(f"{service.url}/", timeout=10)
    assert (told.status_code, told.json()["ready"]) == (200, True)
    seen = requests.get(f"{service.url}/", headers={"Accept": "text/html"}, timeout=10)
    assert (seen.history[0].status_code, seen.url) == (302, f"{service.url}/models/")
    assert "<html" in seen.text


def test_requests_for_a_failed_model_are_counted(service: Service) -> None:
    """Whoever calls a model that is broken shows in the metrics."""
    assert service.post("Broken", {}).status_code == 503
    text = service.get("/metrics").text
    counted = [line for line in text.splitlines() if 'model="Broken"' in line and "_total{" in line]
    assert any(line.endswith(" 1.0") for line in counted), counted


def test_probes_are_not_in_the_access_log(service: Service) -> None:
    for path in ("/livez", "/readyz", "/metrics"):
        service.get(path)
    assert service.post("Good", {"seen": 1}).status_code == 200
    lines = until(lambda: service.lines(message="POST /models/Good 200"))
    assert lines
    assert not service.lines(message="GET /readyz 200")


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ("all", {"GET /livez 200", "POST /models/Good 200", "GET /models/Nobody 404"}),
        ("errors", {"GET /models/Nobody 404"}),
        ("off", set()),
    ],
)
def test_the_access_log_holds_what_it_is_told_to(
    which: str, expected: set[str], tmp_path: Path
) -> None:
    write_model(tmp_path / "models_serve", "Good", answers(1, "Good"))
    with serving(tmp_path, MODELSYNC_WORKERS="1", MODELSYNC_ACCESS_LOG=which) as running:
        for _ in range(3):  # the later ones have a known head
            assert running.post("Good", {}).status_code == 200
        running.get("/livez")
        running.get("/models/Nobody")
        running.stop()
        found = {line["message"] for line in running.lines(logger="modelsync.access")}
    if which == "all":
        assert found >= expected
    else:
        assert found == expected
