"""docs/trained-models.md: what it shows is what happens, from the first `PUT` to the last `GET`."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures import pages
from tests.fixtures.curl import curl
from tests.fixtures.pages import Session, Shown, comparable, matches
from tests.fixtures.service import Service, serving

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/trained-models.md").read_text("utf-8")
URL = "http://127.0.0.1:8080"
TOKEN = "change-me"
START = f"MODELSYNC_TRAIN_TOKENS={TOKEN} ./run.sh"


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """The examples with the folders that the page shows, served as the page says."""
    models = shutil.copytree(ROOT / "models_serve", tmp_path / "models_serve")
    pages.write(PAGE, tmp_path)
    monkeypatch.chdir(tmp_path)
    with serving(tmp_path, models, MODELSYNC_TRAIN_TOKENS=TOKEN) as service:
        yield service


def test_the_session_goes_as_told(service: Service) -> None:
    """Commands and statements in their order, since each builds on those before it."""
    names: dict[str, Any] = {}
    ran = 0
    for one in pages.shown(PAGE):
        if isinstance(one, Session):
            for example in one.examples:
                found = _printed(example.source.replace(URL, service.url), names)
                assert comparable(found) == comparable(example.want), example.source
                ran += 1
        elif one.command != START:
            found = _run(one, service)
            assert matches(comparable(one.output), comparable(found)), (one.command, found)
            ran += 1
    assert ran > 20


def _run(one: Shown, service: Service) -> str:
    command, *formatted = one.command.replace(URL, service.url).split(" | python3 -m json.tool")
    answer = curl(command)
    return json.dumps(json.loads(answer), indent=4) if formatted else answer


def _printed(source: str, names: dict[str, Any]) -> str:
    """What a statement prints in a Python session."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(ast.Interactive(ast.parse(source).body), "<page>", "single"), names)
    return output.getvalue()


def test_every_link_leads_somewhere() -> None:
    """Files that the page names exist."""
    for name in re.findall(r"\]\(([^):#]+)\)", PAGE):
        assert (ROOT / "docs" / name).exists(), name
