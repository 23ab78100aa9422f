"""Files of the counters, and those of the version before, which an upgrade finds."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from modelsync.observability import totals
from modelsync.observability.counters import ROW, Counters

STATUSES = (200, 400, 401, 403, 404, 405, 413, 415, 422, 500, 503, 504, 0, -1)
"""The columns of layout 0 behind the first; 0: any other status, -1: lost."""

REASONS = {
    "ok": 200,
    "malformed": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "unknown_model": 404,
    "body_too_large": 413,
    "media_type": 415,
    "invalid": 422,
    "model_error": 500,
    "unavailable": 503,
    "timeout": 504,
    "other": 405,
    "lost": 999,
}
"""What each reason counts where each column of layout 0 holds its status, that of `lost` 999."""


def row_of_layout_0(in_flight: float = 0.0) -> list[float]:
    counts = [float(status) if status >= 0 else 999.0 for status in STATUSES]
    return [in_flight, *counts, 12.5, *range(17), *range(9), 36.0]


def assert_read(total: totals.Totals) -> None:
    assert {reason: count for reason, count in total.reasons.items() if count} == REASONS
    assert total.seconds == 12.5
    assert total.buckets == [*range(17)]
    assert total.batches == [*range(9)]
    assert total.batched == 36.0


def test_the_history_of_the_version_before_goes_on(tmp_path: Path) -> None:
    """An upgrade keeps each counter under its status, also when the file is written again."""
    (tmp_path / "retired.json").write_text(json.dumps({"Model": row_of_layout_0()}))
    assert_read(totals.read(tmp_path)["Model"])
    totals.retire(tmp_path)
    assert_read(totals.read(tmp_path)["Model"])


def test_a_worker_of_the_version_before_is_counted(tmp_path: Path) -> None:
    """A worker that was killed before the upgrade counts by status, and its calls are lost."""
    names = b'["Model"]'.ljust(16)
    row = struct.pack("43d", *row_of_layout_0(in_flight=1.0))
    (tmp_path / "0.counters").write_bytes(len(names).to_bytes(8, "little") + names + row)
    assert totals.in_flight(tmp_path, 0) == ["Model"]
    totals.retire(tmp_path)
    total = totals.read(tmp_path)["Model"]
    assert total.reasons.pop("lost") == 1000
    assert total.reasons == {name: REASONS[name] for name in REASONS if name != "lost"}


def test_a_worker_that_counted_no_fallbacks_is_counted(tmp_path: Path) -> None:
    """Layout 2 ended one column earlier."""
    counters = Counters(tmp_path, ["A", "B"], pid=1)
    counters.rows["A"].observe("ok", 0.1)
    counters.rows["B"].observe("timeout", 0.2)
    raw = counters.path.read_bytes()
    length = int.from_bytes(raw[:4], "little")
    start = 8 + length
    rows = [raw[place : place + ROW.size - 8] for place in range(start, len(raw), ROW.size)]
    head = length.to_bytes(4, "little") + (2).to_bytes(4, "little") + raw[8:start]
    counters.path.write_bytes(head + b"".join(rows))
    found = totals.read(tmp_path)
    assert found["A"].reasons == {"ok": 1.0}
    assert found["B"].reasons == {"timeout": 1.0}
    assert found["B"].fallbacks == 0


def test_files_of_another_version_are_left_out(tmp_path: Path) -> None:
    """Neither a layout nor a histogram that this version does not know stops it or is misread."""
    counters = Counters(tmp_path, ["Model"], pid=1)
    counters.rows["Model"].observe("ok", 0.1)
    raw = bytearray(counters.path.read_bytes())
    raw[4] = 7
    (tmp_path / "0.counters").write_bytes(raw)
    (tmp_path / "retired.json").write_text('{"A": [1.0], "B": {"x": 1}, "C": {"buckets": [1]}}')
    totals.retire(tmp_path)
    found = totals.read(tmp_path)
    assert found.keys() == {"Model"}
    assert found["Model"].reasons == {"ok": 1.0}


def test_totals_survive_in_the_file_of_ended_workers(tmp_path: Path) -> None:
    """What a worker has counted is the same before and after it was folded."""
    counters = Counters(tmp_path, ["Model"], pid=1)
    row = counters.rows["Model"]
    for reason in ("ok", "timeout", "something else"):
        row.observe(reason, 0.2)
    counters.loop_row("Model").batch(3)
    row.fell_back(5)
    before = totals.read(tmp_path)["Model"]
    assert before.reasons == {"ok": 1.0, "timeout": 1.0, "other": 1.0}
    assert before.fallbacks == 5
    totals.retire(tmp_path, pid=1)
    assert not counters.path.exists()
    assert totals.read(tmp_path)["Model"] == before
