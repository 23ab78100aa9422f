"""Which models are switched off after crashes, and what other generations know of that."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelsync.inference.circuit_breaker import WINDOW, CircuitBreaker

VERSIONS = {"Bad": "v1", "Other": "v1"}


def test_three_crashes_switch_a_model_off() -> None:
    """And nobody else; it is told once."""
    breaker = CircuitBreaker(VERSIONS)
    assert [breaker.record_crash(["Bad"], now) for now in (1.0, 2.0, 3.0, 4.0)] == [
        [],
        [],
        ["Bad"],
        [],
    ]
    assert breaker.is_open("Bad")
    assert not breaker.is_open("Other")


def test_old_crashes_are_forgotten() -> None:
    """One now and then is no reason."""
    breaker = CircuitBreaker(VERSIONS)
    assert not any(breaker.record_crash(["Bad"], number * WINDOW / 2) for number in range(10))


def test_a_crash_that_is_explained_is_held_against_nobody_else() -> None:
    """Who was often beside the guilty one stays on."""
    breaker = CircuitBreaker(VERSIONS)
    for now in range(2):
        assert breaker.record_crash(["Bad", "Other"], now) == []
    assert [breaker.record_crash(["Bad"], now) for now in (2, 3)] == [[], ["Bad"]]
    assert [breaker.record_crash(["Other"], now) for now in (4, 5)] == [[], []]
    assert not breaker.is_open("Other")


def test_crashes_on_both_sides_of_a_swap_are_added_up(tmp_path: Path) -> None:
    """Also where the generation before still drains, and crashes."""
    file = tmp_path / "off.json"
    old = CircuitBreaker(VERSIONS, file)
    assert old.record_crash(["Bad"], 1.0) == []
    new = CircuitBreaker({**VERSIONS, "Other": "v2"}, file)
    assert old.record_crash(["Bad"], 2.0) == []
    assert new.record_crash(["Bad"], 3.0) == ["Bad"]
    assert CircuitBreaker(VERSIONS, file).is_open("Bad")
    assert old.record_crash(["Other"], 4.0) == ["Bad"]
    assert old.is_open("Bad")


def test_another_version_starts_afresh(tmp_path: Path) -> None:
    """What was off is on, what had crashed has not; the version that was off stays so when it comes
    back.
    """
    file = tmp_path / "off.json"
    before = CircuitBreaker(VERSIONS, file)
    for now in (1.0, 2.0, 3.0):
        before.record_crash(["Bad"], now)
        if now < 3:
            before.record_crash(["Other"], now)
    after = CircuitBreaker({"Bad": "v2", "Other": "v2"}, file)
    assert not after.is_open("Bad")
    assert [after.record_crash(["Other"], now) for now in (4.0, 5.0)] == [[], []]
    assert CircuitBreaker(VERSIONS, file).is_open("Bad")


@pytest.mark.parametrize(
    "content", [b"", b"[1]", b"{}", b'{"off": 1, "crashes": 1}', b'{"Bad": "v1"}', b'{"off": [']
)
def test_a_damaged_file_is_written_anew(tmp_path: Path, content: bytes) -> None:
    """It costs memories, not the service."""
    file = tmp_path / "off.json"
    file.write_bytes(content)
    breaker = CircuitBreaker(VERSIONS, file)
    for now in (1.0, 2.0, 3.0):
        breaker.record_crash(["Bad"], now)
    assert CircuitBreaker(VERSIONS, file).is_open("Bad")


def test_a_disk_that_is_full_does_not_keep_a_model_on(tmp_path: Path) -> None:
    """This generation knows by itself."""
    breaker = CircuitBreaker(VERSIONS, tmp_path / "missing" / "off.json")
    assert [breaker.record_crash(["Bad"], now) for now in (1.0, 2.0, 3.0)] == [[], [], ["Bad"]]


def test_a_folder_that_is_no_model_is_nothing_to_switch_off() -> None:
    """Code of the release that no model is, as the traceback names it."""
    breaker = CircuitBreaker(VERSIONS)
    assert [breaker.record_crash(["shared"], now) for now in (1.0, 2.0, 3.0)] == [[], [], []]


def test_another_fitted_version_is_a_new_chance(tmp_path: Path) -> None:
    """Crashes count by the version that was called; a rollback to what was off leaves it off."""
    breaker = CircuitBreaker(VERSIONS, tmp_path / "off.json")
    breaker.serves("Bad", 1)
    assert [breaker.record_crash(["Bad"], now) for now in (1.0, 2.0, 3.0)] == [[], [], ["Bad"]]
    breaker.serves("Bad", 2)
    assert not breaker.is_open("Bad")
    assert [breaker.record_crash(["Bad"], now) for now in (4.0, 5.0)] == [[], []]
    breaker.serves("Bad", 1)
    assert breaker.is_open("Bad")
    again = CircuitBreaker(VERSIONS, tmp_path / "off.json")
    assert not again.is_open("Bad")
    again.serves("Bad", 1)
    assert again.is_open("Bad")
