"""Faults in shared files, and files that are looked for at the top of the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelsync.errors import ModelBroken
from tests.models.code import churn, fault_of
from tests.models.conftest import Repository


@pytest.mark.parametrize(
    ("etls", "files", "message", "place"),
    [
        ("import utils", {"utils.py": "\n1 / 0"}, "ZeroDivisionError", ("utils.py", 2)),
        ("import utils", {"utils.py": "x = ("}, "SyntaxError", ("utils.py", 1)),
        ("import near", {"models_serve/near.py": "a.b"}, "NameError", ("models_serve/near.py", 1)),
        (
            "from common.x import f\nf()",
            {"common/x.py": "def f():\n    raise ValueError(__file__)"},
            "ValueError: common/x.py",
            ("common/x.py", 2),
        ),
        (
            "import common.x",
            {"common/x.py": "import catboost_nowhere.y"},
            "No module named 'catboost_nowhere'",
            ("common/x.py", 1),
        ),
        ("import utils.x", {"utils.py": ""}, "No module named 'utils.x'", ("etls.py", 2)),
    ],
)
def test_a_fault_names_the_shared_file(
    repository: Repository, tmp_path: Path, etls: str, files: dict[str, str], message: str,
    place: tuple[str, int],
) -> None:  # fmt: skip
    """With the line, by its path in the repository."""
    with pytest.raises(ModelBroken) as caught:
        repository({"models_serve/Churn/etls.py": churn(top=etls), **files}, "Churn")
    fault = fault_of(caught.value)
    assert message in fault.message
    assert (fault.file, fault.line) == place
    assert str(tmp_path) not in str(fault)


def test_a_file_beside_a_shared_module(repository: Repository) -> None:
    """Shared modules bring no other files, so one that they open by their own path is not there."""
    config = "import os\nROOT = os.path.dirname(os.path.abspath(__file__))\n"
    read = "open(os.path.join(config.ROOT, 'config.yaml'))"
    files = {
        "models_serve/Churn/etls.py": churn(read, top="import os\nimport config"),
        "config.py": config,
    }
    with pytest.raises(ModelBroken) as caught:
        repository(files, "Churn")
    assert str(fault_of(caught.value).hint).startswith("config.yaml is not shared: only modules")


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("models_serve/Churn/x.csv", 'open Path(__file__).parent / "x.csv"'),
        ("Churn/x.csv", 'open Path(__file__).parent / "x.csv"'),
        ("./models_serve/Churn/sub/y.csv", 'open Path(__file__).parent / "sub/y.csv"'),
        ("data/z.csv", "put z.csv into the model's folder, and open Path(__file__).parent"),
        ("common/table.csv", 'open importlib.resources.files("common") / "table.csv"'),
        ("../../data/z.csv", "data/z.csv lies outside of the model's folder: put it there"),
    ],
)
def test_a_file_at_the_top_of_the_repository(repository: Repository, path: str, hint: str) -> None:
    """Opened by its path from there it is not found: the fault says what to write."""
    read = f"open(path + {path!r})" if path.startswith("..") else f"open({path!r})"
    files = {
        "models_serve/Churn/etls.py": churn(read, top="import common.x"),
        "models_serve/Churn/x.csv": "",
        "models_serve/Churn/sub/y.csv": "",
        "data/z.csv": "",
        "common/x.py": "",
        "common/table.csv": "",
    }
    with pytest.raises(ModelBroken) as caught:
        repository(files, "Churn")
    fault = fault_of(caught.value)
    assert (fault.file, fault.line) == ("etls.py", 6)
    assert hint in str(fault.hint)
