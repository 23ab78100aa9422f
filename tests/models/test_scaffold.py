"""A new model from the template."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelsync.errors import ModelBroken
from modelsync.models.check.checker import check
from modelsync.models.codegen.scaffold import create
from modelsync.models.discovery.folders import discover
from tests.waiting import patient


def test_a_new_model_passes_its_check(root: Path) -> None:
    """What the template gives serves as it is, whatever the name."""
    names = ["Churn", "churn-rate", "a--b-2", "class", "None", "x_y", "transform_predict"]
    for name in names:
        assert [path.relative_to(root / name).as_posix() for path in create(name, root)] == [
            "etls.py",
            "examples/happy.json",
        ]
    create("Plain", root, function=True)
    specs = discover(root)
    assert [spec.name for spec in specs if spec.function] == ["Plain"]
    found = check(specs, timeout=patient(30), environ=os.environ)
    assert {result.name: result.fault for result in found} == dict.fromkeys([*names, "Plain"])
    assert all(result.measured.examples == 1 for result in found)


def test_the_root_is_made(tmp_path: Path) -> None:
    """The first model of a new repository needs no preparation."""
    assert create("Churn", tmp_path / "new")[0].exists()


@pytest.mark.parametrize("name", ["", "1st", "a b", "../x", "a/b", "all", "DOCS", ".x"])
def test_bad_names_are_refused(root: Path, name: str) -> None:
    """A name that could not be served is not made."""
    with pytest.raises(ModelBroken):
        create(name, root)
    assert list(root.iterdir()) == []


@pytest.mark.parametrize("name", ["Churn", "CHURN"])
def test_what_exists_is_never_touched(root: Path, name: str) -> None:
    """Neither the folder itself nor a twin in another case."""
    [etls, _] = create("Churn", root)
    etls.write_text("mine")
    with pytest.raises(ModelBroken, match="Churn exists already"):
        create(name, root)
    assert etls.read_text() == "mine"
    assert len(list(root.iterdir())) == 1
