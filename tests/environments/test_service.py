"""Models with requirements of their own, through the running service."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path

import pytest

from modelsync.files import remove_tree
from tests.environments.making import other_python
from tests.fixtures.git import GitServer
from tests.fixtures.index import PackageIndex, needs_real_index
from tests.fixtures.service import Service, answers, serving, write_example, write_model
from tests.waiting import until

pytestmark = pytest.mark.long

LEMON = """
import lemon
import sys

class Model:
    def transform_predict(self, x: float):
        return {"version": lemon.VERSION, "twice": 2 * x, "prefix": sys.prefix}
"""

OLD = """
from pydantic import VERSION, BaseModel

class Row(BaseModel):
    a: int

class Model:
    def transform_predict(self, row: Row):
        return {"version": VERSION[0], "a": row.a}
"""


def serves(service: Service, wanted: str) -> bool:
    """Whether the model has this version of its library."""
    return version(service, "Model") == wanted


def version(service: Service, model: str) -> str:
    """The version of the package that a model has."""
    answer = service.post(model, {"x": 1})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["version"])


def broken(service: Service) -> dict[str, str]:
    """The reasons of the models that are broken, by name."""
    found = service.release()["models"]
    return {name: one["fault"]["message"] for name, one in found.items() if one["fault"]}


def test_two_models_have_two_versions_of_a_library(tmp_path: Path, index: PackageIndex) -> None:
    """Beside one that has the libraries of the service; a broken set breaks its folder alone. A
    service that starts again asks no index.
    """
    models = tmp_path / "models"
    for name, wanted in (("One", "basket==1.0"), ("Two", "lemon>1"), ("Bad", "lemon==9")):
        write_example(write_model(models, name, LEMON, requirements__txt=wanted), {"x": 1})
    write_model(models, "Plain", answers(1), requirements__txt="# nothing\n")
    with serving(tmp_path, models) as service:
        assert (version(service, "One"), version(service, "Two")) == ("1.0", "2.0")
        assert service.post("Plain").json() == {"value": 1}
        assert broken(service) == {
            "Bad": "Because there is no version of lemon==9 and you require lemon==9."
        }
        assert service.post("Bad", {"x": 1}).status_code == 503
        release = service.release()["models"]
        assert [release[name]["placement"]["place"] for name in ("One", "Plain")] == [
            "runner",
            "worker",
        ]
        prefix = service.post("One", {"x": 1}).json()["prefix"]
        assert Path(prefix).name == release["One"]["environment"]
        assert len(service.lines(event="environment_built")) == 2
        assert service.post("One", {"x": "no"}).status_code == 422
    index.status = 503
    with serving(tmp_path, models) as service:
        assert (version(service, "One"), version(service, "Two")) == ("1.0", "2.0")


def test_an_environment_that_is_lost_is_built_again(tmp_path: Path, index: PackageIndex) -> None:
    """When the service starts, as after the move of a state directory; from uv's cache, or not."""
    models = tmp_path / "models"
    write_model(models, "Model", LEMON, requirements__txt="lemon==1.0\n")
    with serving(tmp_path, models) as service:
        assert version(service, "Model") == "1.0"
    remove_tree(tmp_path / "home" / "environments")
    with serving(tmp_path, models) as service:
        until(partial(serves, service, "1.0"))


def test_shared_requirements_are_followed(tmp_path: Path, index: PackageIndex) -> None:
    """Those at the top of the repository, or of its subdirectory, are for all folders without their
    own; a change of them is a new version of these models, and of no others.
    """
    with GitServer(tmp_path / "models.git") as git:
        git.push({
            "requirements.txt": "-c pins/all.txt\nlemon\n", "pins/all.txt": "lemon<2\n",
            "m/Shared/etls.py": LEMON, "m/Own/etls.py": LEMON,
            "m/Own/requirements.txt": "lemon==2.0\n",
        })  # fmt: skip
        following = {
            "gitPath": git.url, "MODELSYNC_GIT_PROTOCOLS": "http", "MODELSYNC_GIT_SUBDIR": "m",
        }  # fmt: skip
        with serving(tmp_path, env=following) as service:
            assert (version(service, "Shared"), version(service, "Own")) == ("1.0", "2.0")
            before = service.release()["models"]
            assert before["Own"]["version"] == git.git("rev-parse", "HEAD:m/Own")
            git.push({"pins/all.txt": "lemon>=2\n"})
            service.sync()
            until(lambda: version(service, "Shared") == "2.0")
            after = service.release()["models"]
            assert after["Own"]["version"] == before["Own"]["version"]
            assert after["Shared"]["version"] != before["Shared"]["version"]
            assert after["Own"]["environment"] == after["Shared"]["environment"]
            built = len(service.lines(event="environment_built"))
            git.push({"m/Own/more.txt": "new"})
            service.sync()
            until(lambda: service.release()["models"]["Own"]["version"] != after["Own"]["version"])
            assert len(service.lines(event="environment_built")) == built == 2


def test_environments_that_no_release_needs_are_removed(
    tmp_path: Path, index: PackageIndex
) -> None:
    """Those of the releases that are kept, or still serve, stay."""
    models, folder = tmp_path / "models", tmp_path / "home" / "environments"
    with serving(tmp_path, models, MODELSYNC_KEEP_RELEASES="2", ready=False) as service:
        for number in range(1, 4):
            index.offer("lemon", f"{number}.5")
            write_model(models, "Model", LEMON, requirements__txt=f"lemon=={number}.5\n")
            service.sync()
            until(partial(serves, service, f"{number}.5"))
        kept = {
            entry["environment"]
            for release in (tmp_path / "home" / "releases").glob("*/release.json")
            for entry in json.loads(release.read_text())["models"].values()
        }
        assert {path.name for path in folder.iterdir() if path.name[0] != "."} == kept
        assert len(kept) <= 3


def test_an_index_that_comes_back_needs_no_push(tmp_path: Path, index: PackageIndex) -> None:
    """A set that could not be downloaded is tried again by itself; meanwhile the others serve."""
    models = tmp_path / "models"
    write_model(models, "Model", LEMON, requirements__txt="lemon==1.0\n")
    write_model(models, "Plain", answers(1))
    index.status = 503
    with serving(tmp_path, models) as service:
        assert service.post("Plain").json() == {"value": 1}
        assert broken(service)["Model"].startswith("the package index cannot be reached")
        index.status = 200
        until(lambda: version(service, "Model") == "1.0", 30)


def test_old_libraries_and_another_python_work(tmp_path: Path) -> None:
    """Whatever the service has itself: pydantic 1 validates, another Python answers."""
    needs_real_index()
    models = tmp_path / "models"
    old = write_model(models, "Old", OLD, requirements__txt="pydantic<2\n")
    write_example(old, {"a": 1}, {"version": "1", "a": 1})
    wanted, programs = other_python()
    code = LEMON.replace("lemon.VERSION", "sys.version[:4]").replace("import lemon", "import six")
    other = write_model(models, "Other", code, requirements__txt="six\n")
    (other / ".python-version").write_text(f"{wanted}\n")
    with serving(tmp_path, models, PATH=f"{programs}:{os.environ['PATH']}") as service:
        assert service.post("Old", {"a": "2"}).json() == {"version": "1", "a": 2}
        refused = service.post("Old", {"a": "x"})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "a")
        assert version(service, "Other") == wanted
