"""MODELSYNC_GIT_MODELS: which models of a repository are exported, checked and listed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelsync import settings
from modelsync.errors import NoModels
from modelsync.models.types import ModelEntry, ModelName
from modelsync.releases.store import Release
from modelsync.rollout.verdict import evaluate
from modelsync.settings import NO_REVISION, Revision
from modelsync.sync.update import Outcome, Updater
from tests.fixtures.git import Files, GitServer, link, submodule
from tests.fixtures.service import answers

READS = """\
from pathlib import Path

from shared.words import word
from models.Price.helpers import currency

CODES = (Path(__file__).parent.parent / "data" / "codes.csv").read_text()


class Churn:
    def transform_predict(self):
        return {"value": word() + currency() + CODES}
"""

FILES: Files = {
    "models/Churn/etls.py": READS,
    "models/Price/etls.py": answers(2, "Price"),
    "models/Price/helpers.py": "def currency():\n    return 'EUR'\n",
    "models/Fraud/etls.py": "import time\n\nwhile True:\n    time.sleep(1)\n",
    "models/Fraud/requirements.txt": "no-such-library==0.0.0\n",
    "models/Vector/model.onnx": b"an artefact",
    "models/Broken/etls.py": "def broken(:\n",
    "models/Linked": link("Price"),
    "models/Vendored": submodule(),
    "models/Keras/model.h5": b"weights",
    "models/data/codes.csv": "1,2",
    "shared/__init__.py": "",
    "shared/words.py": "def word():\n    return 'word'\n",
}
MODELS = "Broken, Churn, Fraud, Price, Vector"
"""The folders that are models, by the names of their files."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitServer]:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with GitServer(tmp_path / "repository.git") as server:
        server.push(FILES)
        yield server


Updated = Callable[..., Outcome]


@pytest.fixture
def updated(server: GitServer, tmp_path: Path) -> Updated:
    """Updates one state directory from the server with these models."""

    def update(models: str, **more: str) -> Outcome:
        return Updater(settings.load(environment(server, tmp_path) | {
            "MODELSYNC_GIT_MODELS": models, **more,
        })).run()  # fmt: skip

    return update


def environment(server: GitServer, folder: Path) -> dict[str, str]:
    return {
        "gitPath": server.url, "MODELSYNC_GIT_PROTOCOLS": "http",
        "MODELSYNC_GIT_SUBDIR": "models", "MODELSYNC_HOME": str(folder / "home"),
        "MODELSYNC_COMPILE": "off",
    }  # fmt: skip


def entry(release: Release, name: str) -> ModelEntry:
    return release.models[ModelName(name)]


def folders(release: Release) -> set[str]:
    return {path.name for path in release.models_serve.iterdir()}


def test_the_others_are_not_looked_at(updated: Updated) -> None:
    """A model that is not named is not written to disk, checked, installed or listed, nor is what
    stands in the place of one; shared code, also in the folder of another model, is there, and so
    is data beside the folders.
    """
    release = updated("Churn").release
    assert list(release.models) == ["Churn"]
    assert entry(release, "Churn").state == "ready", entry(release, "Churn").fault
    assert folders(release) == {"Churn", "Keras", "data"}
    assert release.passed_over == ()
    assert "Fraud" not in (release.path / "serve_models.py").read_text()


def test_models_may_be_left_out(updated: Updated) -> None:
    """With - before a name all others are served, also those of later commits."""
    release = updated("-Fraud, -Broken,-Linked,-Vendored,-Vector").release
    assert sorted(release.models) == ["Churn", "Price"]
    assert "Fraud" not in folders(release)
    assert [one.path for one in release.passed_over] == ["Keras"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Prise", f"has no folder of it (did you mean Price? it has {MODELS})"),
        ("price", f"has no folder of it (did you mean Price? it has {MODELS})"),
        ("Xylophone", f"has no folder of it (it has {MODELS})"),
        ("Keras", "holds no model: model.h5 is a model of Keras, which no model is without code"),
        ("data", "holds no model (a model has a file etls.py)"),
        ("Vendored", "is a git submodule"),
    ],
)
def test_a_named_model_that_is_missing_is_broken(updated: Updated, name: str, message: str) -> None:
    """The others serve; it is listed with what there is instead."""
    release = updated(f"Price,{name}").release
    assert sorted(release.models) == sorted(["Price", name])
    assert entry(release, "Price").state == "ready"
    assert entry(release, name).state == "failed"
    assert message in str(entry(release, name).fault)


def test_a_commit_without_any_of_them_is_refused(updated: Updated, server: GitServer) -> None:
    """The release that serves goes on; the error names what there is."""
    release = updated("Price").release
    with pytest.raises(NoModels, match=f"MODELSYNC_GIT_MODELS=Prise leaves .* has {MODELS}$"):
        updated("Prise")
    server.push({"models/Price/etls.py": None, "models/Price/helpers.py": None})
    with pytest.raises(NoModels, match="leaves no model: the repository has Broken, Churn"):
        updated("Price")
    assert release.path.is_dir()
    assert (release.path.parent.parent / "current").resolve() == release.path


def test_another_selection_is_another_release(updated: Updated, server: GitServer) -> None:
    """Of the same commit, under a name of its own; the order of names makes none."""
    first = updated("Price").release
    second = updated("Churn,Price").release
    assert (first.id, second.id) == (first.commit, f"{first.commit}.2")
    assert updated(" Price, Churn ").result == "unchanged"
    assert sorted(updated("-Fraud,-Broken,-Linked,-Vendored,-Vector").release.models) == [
        "Churn",
        "Price",
    ]
    assert list(updated("Price").release.models) == ["Price"]


def test_a_named_model_that_a_commit_removes_goes_on(updated: Updated, server: GitServer) -> None:
    """Its name says that it is wanted: the previous version serves, and the fault is told."""
    updated("Churn,Price")
    server.push({"models/Churn/etls.py": None})
    release = updated("Churn,Price").release
    assert entry(release, "Churn").state == "stale"
    assert "has no folder of it" in str(entry(release, "Churn").fault)
    assert entry(release, "Price").state == "ready"


def test_a_rollout_goes_by_the_selection(server: GitServer, tmp_path: Path) -> None:
    """A commit that lacks a named model which is good now is rejected; one that breaks another
    model is not.
    """
    config = settings.load(environment(server, tmp_path) | {"MODELSYNC_GIT_MODELS": "Churn,Price"})
    good = server.git("rev-parse", "main")
    assert evaluate(config, good, NO_REVISION).rejected == ""
    other = server.push({"models/Vector/etls.py": "import nowhere\n"})
    assert evaluate(config, other, Revision(good)).rejected == ""
    lacking = server.push({"models/Churn/etls.py": None})
    assert "Churn: the model Churn is named" in evaluate(config, lacking, Revision(other)).rejected


def test_a_local_folder_is_selected_from_too(tmp_path: Path) -> None:
    """What is served without a repository, or in its place; changes of other models are none."""
    root = tmp_path / "models_serve"
    for name, code in (("Price", answers(2)), ("Fraud", "import nowhere\n")):
        (root / name).mkdir(parents=True)
        (root / name / "etls.py").write_text(code)
    config = settings.load({
        "MODELSYNC_MODELS": str(root), "MODELSYNC_HOME": str(tmp_path / "home"),
        "MODELSYNC_GIT_MODELS": "Price", "MODELSYNC_COMPILE": "off",
    })  # fmt: skip
    release = Updater(config).run().release
    assert (list(release.models), folders(release)) == (["Price"], {"Price"})
    (root / "Fraud" / "etls.py").write_text("import elsewhere\n")
    assert Updater(config).run().result == "unchanged"
    assert Updater(config).run().release.commit == release.commit
    (root / "Price" / "etls.py").unlink()
    with pytest.raises(NoModels, match=r"MODELSYNC_GIT_MODELS=Price leaves .* has Fraud"):
        Updater(config).run()
