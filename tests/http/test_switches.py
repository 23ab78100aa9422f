"""Which models are switched off after crashes, and what other generations know of that."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelsync.http.switches import WINDOW, Switches

VERSIONS = {"Bad": "v1", "Other": "v1"}


def test_three_crashes_switch_a_model_off() -> None:
    """And nobody else; it is told once."""
    switches = Switches(VERSIONS)
    assert [switches.crashed(["Bad"], now) for now in (1.0, 2.0, 3.0, 4.0)] == [[], [], ["Bad"], []]
    assert switches.off("Bad")
    assert not switches.off("Other")


def test_old_crashes_are_forgotten() -> None:
    """One now and then is no reason."""
    switches = Switches(VERSIONS)
    assert not any(switches.crashed(["Bad"], number * WINDOW / 2) for number in range(10))


def test_a_crash_that_is_explained_is_held_against_nobody_else() -> None:
    """Who was often beside the guilty one stays on."""
    switches = Switches(VERSIONS)
    for now in range(2):
        assert switches.crashed(["Bad", "Other"], now) == []
    assert [switches.crashed(["Bad"], now) for now in (2, 3)] == [[], ["Bad"]]
    assert [switches.crashed(["Other"], now) for now in (4, 5)] == [[], []]
    assert not switches.off("Other")


def test_crashes_on_both_sides_of_a_swap_are_added_up(tmp_path: Path) -> None:
    """Also where the generation before still drains, and crashes."""
    file = tmp_path / "off.json"
    old = Switches(VERSIONS, file)
    assert old.crashed(["Bad"], 1.0) == []
    new = Switches({**VERSIONS, "Other": "v2"}, file)
    assert old.crashed(["Bad"], 2.0) == []
    assert new.crashed(["Bad"], 3.0) == ["Bad"]
    assert Switches(VERSIONS, file).off("Bad")
    assert old.crashed(["Other"], 4.0) == ["Bad"]
    assert old.off("Bad")


def test_another_version_starts_afresh(tmp_path: Path) -> None:
    """What was off is on, what had crashed has not; the version that was off stays so when it comes back."""
    file = tmp_path / "off.json"
    before = Switches(VERSIONS, file)
    for now in (1.0, 2.0, 3.0):
        before.crashed(["Bad"], now)
        if now < 3:
            before.crashed(["Other"], now)
    after = Switches({"Bad": "v2", "Other": "v2"}, file)
    assert not after.off("Bad")
    assert [after.crashed(["Other"], now) for now in (4.0, 5.0)] == [[], []]
    assert Switches(VERSIONS, file).off("Bad")


@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", b'{"off": 1, "crashes": 1}', b'{"Bad": "v1"}', b'{"off": ['])
def test_a_damaged_file_is_written_anew(tmp_path: Path, content: bytes) -> None:
    """It costs memories, not the service."""
    file = tmp_path / "off.json"
    file.write_bytes(content)
    switches = Switches(VERSIONS, file)
    for now in (1.0, 2.0, 3.0):
        switches.crashed(["Bad"], now)
    assert Switches(VERSIONS, file).off("Bad")


def test_a_disk_that_is_full_does_not_keep_a_model_on(tmp_path: Path) -> None:
    """This generation knows by itself."""
    switches = Switches(VERSIONS, tmp_path / "missing" / "off.json")
    assert [switches.crashed(["Bad"], now) for now in (1.0, 2.0, 3.0)] == [[], [], ["Bad"]]


def test_a_folder_that_is_no_model_is_nothing_to_switch_off() -> None:
    """Code of the release that no model is, as the traceback names it."""
    switches = Switches(VERSIONS)
    assert [switches.crashed(["shared"], now) for now in (1.0, 2.0, 3.0)] == [[], [], []]
