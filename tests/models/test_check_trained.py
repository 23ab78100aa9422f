"""The check of models that are trained: with their current version, or before they have one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from modelsync.models.check.checker import check
from modelsync.models.discovery.folders import discover
from modelsync.models.types import CheckResult
from modelsync.models.versions import FittedVersion
from tests.models import trained
from tests.models.code import fault_of
from tests.models.conftest import Find, Write
from tests.waiting import patient

PRICE = """
class Price:
    def fit(self, x, y): return sum(y) / len(y)
    def transform_predict(self, variables): return {"price": self.model}
"""
EXAMPLE = {"examples/a.json": '{"variables": {"x": [1]}, "response": {"price": 1.5}}'}
BODY = {"x": [[1], [2]], "y": [1, 2]}


def checked(root: Path, fitted: Mapping[str, FittedVersion] = {}) -> dict[str, CheckResult]:
    found = check(discover(root), timeout=patient(30), environ=os.environ, fitted=fitted)
    return {result.name: result for result in found}


def test_nothing_is_called_before_it_is_fitted(root: Path, write: Write) -> None:
    """The examples wait; what needs no fitted model is checked as ever."""
    write("Price", PRICE, EXAMPLE)
    write("Forest", trained.FOREST, {"examples/a.json": '{"variables": {"x": [1]}}'})
    write("Wrong", PRICE.replace("Price", "Wrong").replace("self.model", "1 / 0"), EXAMPLE)
    own = PRICE.replace("self.model", "1.5").replace("Price", "Own")
    write("Own", own, EXAMPLE)
    found = checked(root)
    for name in ("Price", "Forest"):
        measured = found[name].measured
        assert (found[name].ok, measured.examples, measured.unfitted) == (True, 0, 1)
        assert (measured.call_seconds, found[name].placement.place) == (None, "worker")
    assert fault_of(found["Wrong"]).message.startswith("example a: ZeroDivisionError")
    assert (found["Own"].measured.examples, found["Own"].measured.unfitted) == (1, 0)


def test_the_current_version_is_checked_with_new_code(
    root: Path, write: Write, find: Find, tmp_path: Path
) -> None:
    """Its examples are answered with it; code that cannot use it is broken."""
    write("Price", PRICE, EXAMPLE)
    version = trained.fit(find("Price"), BODY, tmp_path)
    found = checked(root, {"Price": version})["Price"]
    assert found.ok
    assert (found.measured.examples, found.measured.unfitted) == (1, 0)
    assert found.measured.call_seconds is not None
    assert found.placement.overlaps
    write("Price", PRICE.replace("self.model", "self.model['mean']"))
    message = fault_of(checked(root, {"Price": version})["Price"]).message
    assert message.startswith("example a: IndexError: invalid index to scalar variable")


@pytest.mark.parametrize("fitted", [True, False])
def test_models_of_a_thread_of_their_own(
    root: Path, write: Write, find: Find, tmp_path: Path, fitted: bool
) -> None:
    """The trials in another thread, and beside other models, load the same version."""
    top = "import sqlite3\n"
    init = "    def __init__(self): self.base = sqlite3.connect(':memory:')\n"
    write("Price", top + PRICE + init, EXAMPLE)
    write("Plain", "class Plain:\n    def transform_predict(self): return {}\n",
          {"examples/a.json": '{"variables": {}}'})  # fmt: skip
    versions = {}
    if fitted:
        versions = {"Price": trained.fit(find("Price"), BODY, tmp_path)}
    found = checked(root, versions)["Price"]
    assert found.ok
    assert found.placement.place == "thread"
    assert found.measured.unfitted == (0 if fitted else 1)
