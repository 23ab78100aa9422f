"""Which fitted versions each process has taken over."""

from __future__ import annotations

import os
from pathlib import Path

from modelsync.releases.fitted import FittedVersions

DEAD = 2**22 + 1
"""No process has this number."""


def test_what_a_process_has_told_is_known_after_its_death(tmp_path: Path) -> None:
    """Until somebody tidies up; then what a living one has told counts, as for a runner."""
    fitted = FittedVersions(tmp_path)
    assert fitted.acknowledged_by(DEAD) == {}
    fitted.acknowledge({"Model": 2})
    mine = tmp_path / "run" / "fitted" / str(os.getpid())
    mine.with_name(str(DEAD)).write_text('{"serves": {"Model": 1}}')
    assert fitted.acknowledged_by(DEAD) == {"Model": 1}
    assert fitted.acknowledged() == [{"Model": 2}]
    assert fitted.acknowledged_by(DEAD) == {"Model": 2}


def test_a_version_that_a_process_cannot_load_is_heard_of(tmp_path: Path) -> None:
    """Nobody waits for it: the version before it goes on."""
    fitted = FittedVersions(tmp_path)
    assert fitted.heard("Model", 2), "no process has the model"
    fitted.acknowledge({"Model": 1, "Other": None})
    assert [fitted.heard("Model", number) for number in (1, 2, None)] == [True, False, False]
    assert fitted.heard("Other", None)
    fitted.acknowledge({"Model": 1, "Other": None}, {"Model": 2})
    assert [fitted.heard("Model", number) for number in (1, 2, 3)] == [True, True, False]
    assert fitted.acknowledged() == [{"Model": 1, "Other": None}]
