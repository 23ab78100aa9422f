"""Updates of repositories with shared code: what breaks whom, versions of tags, jobs with one model
alone, local folders.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelsync import settings
from modelsync.deadline import Deadline
from modelsync.models.types import ModelEntry, ModelName
from modelsync.settings import Settings
from modelsync.sync.sources import GitSource, SingleModel, source_of
from modelsync.sync.update import Updater
from tests.fixtures.git import Files, GitServer, executable, link, submodule
from tests.waiting import patient

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    f"oid sha256:{'a' * 64}\nsize 12345678\n"
)  # fmt: skip


def using(imported: str, value: str = "1") -> str:
    return (
        f"{imported}\n\n\nclass Model:\n    def transform_predict(self):\n"
        f"        return {{'value': {value}}}\n"
    )


FILES: Files = {
    "Fine/etls.py": using("import utils"),
    "Syntax/etls.py": using("import common.broken"),
    "Raises/etls.py": using("import utils\nfrom common import raising"),
    "Missing/etls.py": using("import gone"),
    "Linked/etls.py": using("import linked"),
    "Out/etls.py": using("import outside"),
    "Submodule/etls.py": using("import vendored.things"),
    "Pointer/etls.py": using("import large.weights"),
    "Any/etls.py": using("import importlib\n\nutils = importlib.import_module('ut' + 'ils')"),
    "Runs/etls.py": using("import tool.run\nimport os\nassert os.access(tool.run.SCRIPT, os.X_OK)"),
    "utils.py": "",
    "common/__init__.py": "",
    "common/broken.py": "x = 1\ny = = 2\n",
    "common/raising.py": "import os\n\nos.no_such_thing()\n",
    "linked.py": link("utils.py"),
    "outside.py": link("/etc/hostname"),
    "vendored": submodule(),
    "large/__init__.py": "",
    "large/weights.py": "",
    "large/weights.bin": POINTER,
    "tool/__init__.py": "",
    "tool/run.py": "from pathlib import Path\n\nSCRIPT = Path(__file__).with_name('run.sh')\n",
    "tool/run.sh": executable("#!/bin/sh\n"),
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with GitServer(tmp_path_factory.mktemp("git") / "repository.git") as server:
        server.push(FILES)
        yield server


def following(server: GitServer, home: Path, **more: str) -> Settings:
    return settings.load({
        "gitPath": server.url, "MODELSYNC_GIT_PROTOCOLS": "http", "MODELSYNC_HOME": str(home),
        "MODELSYNC_GIT_LFS": "off", **more,
    })  # fmt: skip


@pytest.fixture(scope="module")
def config(server: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "HTTP_PROXY"):
            patch.delenv(name, raising=False)
        yield following(server, tmp_path_factory.mktemp("sync") / "home")


@pytest.fixture(scope="module")
def models(config: Settings) -> dict[ModelName, ModelEntry]:
    return Updater(config).run().release.models


def fault_of(models: dict[ModelName, ModelEntry], name: str) -> str:
    return str(models[ModelName(name)].fault or "")


def test_a_bad_shared_file_breaks_its_users_alone(models: dict[ModelName, ModelEntry]) -> None:
    """Whatever is wrong with it, the fault names it; the others are served."""
    good = {name for name, entry in models.items() if not entry.fault}
    assert good == {"Fine", "Linked", "Any", "Runs"}
    assert "common/broken.py:2" in fault_of(models, "Syntax")
    assert "common/raising.py:3" in fault_of(models, "Raises")
    assert "gone" in fault_of(models, "Missing")
    assert "outside.py, which is a link that leads out" in fault_of(models, "Out")
    assert "vendored, which is a git submodule" in fault_of(models, "Submodule")
    assert "LFS pointer: the shared file large/weights.bin" in fault_of(models, "Pointer")


def test_a_job_has_the_version_of_the_service(
    config: Settings, server: GitServer, models: dict[ModelName, ModelEntry], tmp_path: Path
) -> None:
    """A release with one model alone, of which the others are not exported."""
    alone = following(server, tmp_path / "home")
    for name in ("Fine", "Any"):
        source = SingleModel(source_of(alone), ModelName(name))
        release = Updater(alone, source).run(force=True).release
        assert list(release.models) == [name]
        assert release.models[ModelName(name)].version == models[ModelName(name)].version


def test_a_tag_has_the_version_of_the_service(
    config: Settings, server: GitServer, models: dict[ModelName, ModelEntry], tmp_path: Path
) -> None:
    """Of a commit that is not exported: by it labels know the code of their models."""
    found = GitSource(following(server, tmp_path / "home")).versions(
        server.git("rev-parse", "main"), Deadline(patient(30))
    )
    good = {name: entry for name, entry in models.items() if not entry.fault}
    assert {name: found[name] for name in good} == {
        name: entry.version for name, entry in good.items()
    }
    assert found["Fine"] != server.git("rev-parse", "main:Fine")


# --- local folders --------------------------------------------------------------------------------


def local(folder: Path, home: Path) -> Settings:
    return settings.load({"MODELSYNC_MODELS": str(folder), "MODELSYNC_HOME": str(home)})


@pytest.mark.parametrize("is_work_tree", [True, False])
def test_a_local_folder_has_shared_code(tmp_path: Path, is_work_tree: bool) -> None:
    """That of the git work tree that it lies in, or else what is in it; a change of it is a change
    of the source.
    """
    top = tmp_path / "repository"
    models = top / "models"
    (models / "Model").mkdir(parents=True)
    (models / "Model" / "etls.py").write_text(
        using("from models.near import x\nfrom utils import y", "x + y")
    )
    (models / "Other").mkdir()
    (models / "Other" / "etls.py").write_text(using("import json"))
    (models / "near.py").write_text("x = 1\n")
    utils = (top if is_work_tree else models) / "utils.py"
    utils.write_text("y = 1\n")
    if is_work_tree:
        subprocess.run(["git", "init", "-q", str(top)], check=True)
    config = local(models, tmp_path / "home")
    first = Updater(config).run()
    assert not first.faults
    assert Updater(config).run().result == "unchanged"
    utils.write_text("y = 2\n")
    second = Updater(config).run()
    assert second.result == "published"
    before, after = first.release.models, second.release.models
    assert {name for name in after if after[name].version != before[name].version} == {"Model"}
    if is_work_tree:
        (top / "unused.py").write_text("")
        assert Updater(config).run().result == "unchanged"
