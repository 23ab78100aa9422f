"""The pages on trained models: what they show is what happens, in the order of the page."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fixtures import page_session, pages
from tests.fixtures.service import Service, serving

pytestmark = pytest.mark.training

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TRAINED = (DOCS / "trained-models.md").read_text("utf-8")
MIGRATING = (DOCS / "migrating.md").read_text("utf-8")

Serve = Callable[[str], Service]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Serve the examples with the folders that a page shows, with its settings."""
    models = shutil.copytree(ROOT / "models_serve", tmp_path / "models_serve")
    monkeypatch.chdir(tmp_path)
    with ExitStack() as services:

        def serve(page: str) -> Service:
            pages.write(page, tmp_path)
            settings = page_session.settings_of(page)
            return services.enter_context(serving(tmp_path, models, env=settings))

        yield serve


def test_the_session_goes_as_told(serve: Serve) -> None:
    """docs/trained-models.md: from the first `PUT` to the source that is larger than memory."""
    assert page_session.run(TRAINED, serve(TRAINED)) > 20


def test_the_calls_of_older_systems_work(serve: Serve, tmp_path: Path) -> None:
    """docs/migrating.md: what clients of older servers send, at the paths that they know."""
    models = tmp_path / "models_serve"
    shutil.copytree(models / "Pipeline", models / "model")
    assert page_session.run(MIGRATING, serve(MIGRATING)) > 20


@pytest.mark.parametrize("page", [TRAINED, MIGRATING])
def test_every_link_leads_somewhere(page: str) -> None:
    """Files that a page names exist."""
    page_session.check_links(page, DOCS)
