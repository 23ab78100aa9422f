"""An update with one model alone, as a job on another machine makes it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelsync import settings
from modelsync.errors import NoModels
from modelsync.models.types import ModelName
from modelsync.settings import Settings
from modelsync.sync.sources import SingleModel, source_of
from modelsync.sync.update import Updater
from tests.fixtures.git import GitServer
from tests.fixtures.service import answers


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with GitServer(tmp_path / "repository.git") as server:
        commit = server.push({
            "Churn/etls.py": answers(1, "Churn"), "Fraud/etls.py": "def broken(:\n",
            "Slow/etls.py": "while True: pass", "shared.py": "",
        })  # fmt: skip
        server.tag("Churn#stable")
        yield settings.load({
            "gitPath": server.url, "MODELSYNC_GIT_PROTOCOLS": "http",
            "MODELSYNC_HOME": str(tmp_path / "home"), "MODELSYNC_GIT_REVISION": commit,
            "MODELSYNC_GIT_PROVEN": commit, "MODELSYNC_ON_BROKEN_MODEL": "reject",
        })  # fmt: skip


def test_the_others_are_not_looked_at(config: Settings) -> None:
    """Neither a broken model nor one that hangs keeps a job from its own; it has its version."""
    outcome = Updater(config, SingleModel(source_of(config), ModelName("Churn"))).run()
    assert list(outcome.release.models) == ["Churn"]
    folders = [one.name for one in (outcome.release.path / "models_serve").iterdir()]
    assert folders == ["Churn"]
    assert len(outcome.release.models[ModelName("Churn")].version) == 40


def test_a_model_that_is_gone_is_told(config: Settings) -> None:
    """The commit of the job does not have it."""
    with pytest.raises(NoModels, match="holds no model Price"):
        Updater(config, SingleModel(source_of(config), ModelName("Price"))).run()
