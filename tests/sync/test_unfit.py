"""Versions of models that pass the check and do not load in the service."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from modelsync.models.types import Fault, ModelEntry, ModelName, ModelSpec, TreeHash
from modelsync.releases.store import Release
from modelsync.sync import unfit
from modelsync.sync.plan import is_unchanged, known_results, to_be_tried_again
from modelsync.sync.status import read_status

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NAME, VERSION = ModelName("A"), TreeHash("a" * 40)
SPEC = ModelSpec(NAME, Path("A"), version=VERSION)


def release(fault: Fault | None = None) -> Release:
    entry = ModelEntry.of(SPEC, Path("models_serve/A"), fault=fault)
    return Release("c" * 40, "c" * 40, "git", "env", {NAME: entry})


def recorded(home: Path, of: Release, faults: dict[str, str], now: datetime) -> dict[str, str]:
    unfit.record(home, of, faults, now)
    return {key: one["until"] for key, one in read_status(home).unfit.items()}


def test_it_is_left_alone_for_longer_and_longer(tmp_path: Path) -> None:
    """Until then an update takes it for broken, in this environment alone."""
    recorded(tmp_path, release(), {"A": "no mount"}, NOW)
    status = read_status(tmp_path)
    fault = unfit.known(status, "env", NOW)[NAME, VERSION]
    assert fault.transient
    assert "no mount" in fault.message
    assert unfit.known(status, "env", NOW + timedelta(seconds=6)) == {}
    assert unfit.known(status, "other", NOW) == {}
    [later] = recorded(tmp_path, release(), {"A": "no mount"}, NOW).values()
    assert datetime.fromisoformat(later) == NOW + timedelta(seconds=10)


def test_it_is_forgotten_once_it_has_loaded(tmp_path: Path) -> None:
    """But not when a release without it is served."""
    recorded(tmp_path, release(), {"A": "x"}, NOW)
    assert recorded(tmp_path, release(Fault("load", "x", transient=True)), {}, NOW)
    assert recorded(tmp_path, release(), {}, NOW) == {}


def test_a_version_that_serves_is_not_taken_for_broken() -> None:
    """Only one that is to replace it."""
    fault = Fault("load", "x", transient=True)
    found = known_results([SPEC], release().models, {(NAME, VERSION): fault})
    assert found[NAME].ok
    assert known_results([SPEC], {}, {(NAME, VERSION): fault})[NAME].fault == fault


def test_a_fault_that_may_pass_is_the_same_in_other_words() -> None:
    """Its message may hold the time: no new release is made for that."""
    before = release(Fault("load", "at 1", transient=True))
    [entry] = before.models.values()
    assert entry.fault
    assert is_unchanged([replace(entry, fault=replace(entry.fault, message="at 2"))], before)
    assert not is_unchanged([replace(entry, fault=Fault("load", "at 2"))], before)
    assert to_be_tried_again(before) == [NAME]
    assert to_be_tried_again(release(Fault("load", "x"))) == []
