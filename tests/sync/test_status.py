"""The status of syncing: what was written is read, and damage does no harm."""

from __future__ import annotations

import json
from pathlib import Path

from modelsync.sync.status import Status, read_status, write_status

OLD, NEW = "a" * 40, "b" * 40


def test_the_status_reads_back_and_survives_damage(tmp_path: Path) -> None:
    """What was written is read; a file that was cut off or tampered with counts as none, and is
    written anew.
    """
    status = Status(
        wanted_commit=NEW,
        served_commit=OLD,
        last_result="failed",
        reason="auth",
        failures={"auth": 2},
        rejected={NEW: "no"},
    )
    write_status(tmp_path, status)
    assert read_status(tmp_path) == status
    text = (tmp_path / "status.json").read_text()
    for damaged in (
        text[:40],
        "[]",
        "null",
        text.replace('"auth": 2', '"auth": "2"').replace("{", "["),
        '{"wanted_commit": 1}',
    ):
        (tmp_path / "status.json").write_text(damaged)
        assert read_status(tmp_path) == Status()
    (tmp_path / "status.json").write_text(json.dumps({**json.loads(text), "of_a_later_version": 1}))
    assert read_status(tmp_path) == status
