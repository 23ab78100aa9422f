"""Fitted versions that replace each other in one process."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from modelsync.errors import ModelBroken
from modelsync.inference import replacement
from modelsync.inference.candidates import MAX_CANDIDATES, with_versions
from modelsync.inference.process_runner import HostedModel
from modelsync.inference.version_watch import VersionWatch
from modelsync.models.placement import Placement
from tests.inference.test_version_cache import Fixture
from tests.waiting import until


class Waits:
    """Loads once the test lets it."""

    gate = threading.Event()

    def __reduce__(self) -> Any:
        return _wait, ()


def _wait() -> int:
    Waits.gate.wait()
    return 70


@pytest.fixture
def one(tmp_path: Path) -> Fixture:
    Waits.gate.clear()
    return Fixture(tmp_path)


def number(one: Fixture) -> int | None:
    fitted = one.plane.runners["M"].model.fitted
    return fitted.number if fitted else None


def watch(one: Fixture, limit: float = 30.0) -> VersionWatch:
    found = VersionWatch(one.plane, one.versions.fitted, one.cache, limit)
    found.start()
    return found


def test_the_version_before_answers_until_the_new_one_is_loaded(one: Fixture) -> None:
    one.versions.store("M", 1, 10)
    one.versions.serve(M=1)
    found = watch(one)
    until(lambda: number(one) == 1)
    one.versions.store("M", 2, Waits())
    one.versions.serve(M=2)
    loading = until(lambda: found.loading("M"))
    assert loading.number == 2
    assert number(one) == 1
    Waits.gate.set()
    until(lambda: number(one) == 2)
    until(lambda: found.loading("M") is None)
    until(lambda: one.versions.serving("M", 2, 1))
    found.end()


def test_a_version_that_does_not_load_leaves_the_one_before(one: Fixture) -> None:
    one.versions.store("M", 1, 10)
    one.versions.serve(M=1)
    found = watch(one)
    until(lambda: number(one) == 1)
    one.versions.store("M", 2, 20, data=b"damaged")
    one.versions.serve(M=2)
    refused = until(lambda: one.plane.runners["M"].refused)
    assert refused.version.number == 2
    assert number(one) == 1
    until(lambda: one.versions.fitted.heard("M", 2))  # so no answer waits for it
    assert one.versions.fitted.acknowledged() == [{"M": 1}]
    found.end()


def test_a_load_that_takes_too_long_is_closed_when_it_ends(
    one: Fixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = one.versions.store("M", 1, Waits())
    closed = threading.Event()
    load = one.runner._load

    def noted(*args: Any) -> Any:
        runner = load(*args)
        monkeypatch.setattr(runner, "close", closed.set)
        return runner

    one.runner._load = noted
    with pytest.raises(ModelBroken, match=r"not been loaded, started and called once within 0\.2"):
        replacement.bring_up(one.plane, one.runner, version, 0.2)
    assert not closed.is_set()
    Waits.gate.set()
    until(closed.is_set)


def test_those_before_the_current_one_are_tried_too(one: Fixture, tmp_path: Path) -> None:
    """A few of them, if they are on disk."""
    for each in range(1, 9):
        one.versions.store("M", each, each)
    one.versions.models["M"].versions[5].file.unlink()
    one.versions.serve(M=6)
    hosted = HostedModel(one.runner.model.spec, Placement("worker"))
    [found] = with_versions([hosted], one.versions.home)
    assert [version.number for version in found.versions] == [6, 4, 3]
    assert len(found.versions) == MAX_CANDIDATES
    assert with_versions([hosted], tmp_path / "none") == [hosted]
