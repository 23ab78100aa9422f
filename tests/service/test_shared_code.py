"""Shared code beside the model folders of a repository, from a real git server to the answers of a
real service: versions, what is checked again, and that two commits never mix.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.git import GitServer
from tests.fixtures.service import Service, serving, write_model
from tests.service.following import following
from tests.waiting import until


def using(imported: str, value: str) -> str:
    """The code of a model that answers with an expression of what it has imported."""
    return (
        f"{imported}\n\n\nclass Model:\n    def transform_predict(self):\n"
        f"        return {{'value': {value}}}\n"
    )


REPOSITORY = {
    "models/Direct/etls.py": using("from utils import label", "label()"),
    "models/Through/etls.py": using("from common.features import named", "named()"),
    "models/Sibling/etls.py": using("from models.Through.etls import named", "named()"),
    "models/Alone/etls.py": using("import json", "json.dumps(1)"),
    "models/Own/etls.py": using("from models.Own.helpers import one\nimport helpers", "one()"),
    "models/Own/helpers.py": "def one():\n    return 'own'\n",
    "utils.py": "def label():\n    return 'first'\n",
    "common/__init__.py": "",
    "common/features.py": (
        "from pathlib import Path\n\nfrom utils import label\n\n\ndef named():\n"
        "    return label() + Path(__file__).with_name('suffix.txt').read_text()\n"
    ),
    "common/suffix.txt": "!",
    "common/unused.py": "",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with GitServer(tmp_path_factory.mktemp("git") / "repository.git") as server:
        server.push(REPOSITORY)
        yield server


@pytest.fixture(scope="module")
def service(server: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with following(folder, server, MODELSYNC_GIT_SUBDIR="models") as service:
        yield service


def values(service: Service) -> dict[str, Any]:
    return {name: service.post(name).json().get("value") for name in entries(service)}


def entries(service: Service) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = service.release()["models"]
    return found


def pushed(service: Service, server: GitServer, files: dict[str, str | None]) -> str:
    """Push, sync, and wait until the commit serves."""
    commit = server.push(files)
    service.sync()
    until(lambda: _serves(service, commit), 60, f"{commit} serves; see {service.log}")
    return commit


def _serves(service: Service, commit: str) -> bool:
    return bool(service.status()["served_commit"] == commit) and (
        service.post("Alone").headers.get("X-Modelsync-Release") == service.release()["id"]
    )


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """The models whose wanted version is another one."""
    key = "wanted_version"
    return {name for name in after if after[name][key] != before.get(name, {}).get(key)}


def test_saving_shared_code_is_enough(tmp_path: Path) -> None:
    """`serve --watch` of a folder in a git work tree, whose shared code lies beside it."""
    top = tmp_path / "work"
    (top / "common" / "deep").mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(top)], check=True)
    features = top / "common" / "deep" / "features.py"
    features.write_text("x = 0\n")
    models = top / "models"
    write_model(models, "Model", using("from common.deep.features import x", "x"))
    with serving(tmp_path, models, arguments=("--watch",)) as service:
        assert service.post("Model").json() == {"value": 0}
        features.write_text("x = 1\n")
        until(lambda: service.post("Model").json() == {"value": 1}, 60)


def test_a_change_of_shared_code_reaches_its_users_alone(
    service: Service, server: GitServer
) -> None:
    """Directly, through another shared module, through a sibling's: they get new versions and new
    answers, and the others keep the release that they were first in. A broken one goes on to serve
    with the shared code that it had.
    """
    first = entries(service)
    assert values(service) == {
        "Alone": "1", "Direct": "first", "Own": "own", "Sibling": "first!", "Through": "first!",
    }  # fmt: skip
    trees = {name: server.git("rev-parse", f"main:models/{name}") for name in first}
    assert {name for name in first if first[name]["version"] == trees[name]} == {"Alone", "Own"}

    commit = pushed(service, server, {"utils.py": "def label():\n    return 'second'\n"})
    second = entries(service)
    assert changed(first, second) == {"Direct", "Through", "Sibling"}
    assert {name for name in second if second[name]["release"] == commit} == {
        "Direct", "Through", "Sibling",
    }  # fmt: skip
    assert values(service)["Sibling"] == "second!"

    pushed(service, server, {
        "utils.py": "def label():\n    return 'third'\n",
        "models/Direct/etls.py": using("from utils import label, missing", "label()"),
    })  # fmt: skip
    third = entries(service)
    assert third["Direct"]["state"] == "stale"
    assert third["Direct"]["shared"] == second["Direct"]["shared"]
    assert values(service) | {"Alone": "1"} == {
        "Alone": "1", "Direct": "second", "Own": "own", "Sibling": "third!", "Through": "third!",
    }  # fmt: skip
    folders = (service.home / "current" / "shared").iterdir()
    assert {f"shared/{one.name}" for one in folders} == {
        one["shared"] for one in third.values() if one["shared"]
    }

    pushed(service, server, {"common/unused.py": "x = 1\n", "README.md": "hello"})
    assert not changed(third, entries(service))
