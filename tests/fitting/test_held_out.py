"""Rows that are held out: the same ones each day, never in the fit too, some of each data."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from modelsync.errors import DataInvalid
from modelsync.fitting import checkpoint, held_out, row_hash
from modelsync.fitting.checkpoint import CheckpointState
from modelsync.fitting.held_out import HeldOut
from modelsync.fitting.messages import FitResult


def split(table: pa.Table, share: float = 0.2, target: str = "y") -> tuple[pa.Table, HeldOut]:
    held = HeldOut(share, (target,))
    return held.split(table, whole=True), held


def numbered(rows: int) -> pa.Table:
    return pa.table({"n": list(range(rows)), "y": [n % 2 for n in range(rows)]})


@pytest.mark.parametrize("rows", [5, 12, 100, 5000])
def test_a_share_is_held_out_and_no_row_is_on_both_sides(rows: int) -> None:
    kept, held = split(numbered(rows))
    assert 0 < held.rows <= max(1, rows * 0.3)
    assert sorted(kept["n"].to_pylist() + held.table()["n"].to_pylist()) == list(range(rows))


def test_a_row_stays_on_its_side_while_the_data_grows_and_its_order_changes() -> None:
    before = set(split(numbered(1000))[1].table()["n"].to_pylist())
    grown = numbered(1500).take(list(reversed(range(1500))))
    after = {n for n in split(grown)[1].table()["n"].to_pylist() if n < 1000}
    assert before == after


def test_rows_of_the_same_values_are_on_both_sides() -> None:
    twins = pa.table({"n": [1] * 500 + [2] * 500, "y": [0] * 500 + [1] * 500})
    kept, held = split(twins)
    assert min(Counter(held.table()["n"].to_pylist()).values()) > 60
    assert min(Counter(kept["n"].to_pylist()).values()) > 300


def test_each_class_keeps_rows_to_be_fitted_with() -> None:
    labels = ["common"] * 300 + [f"rare {n}" for n in range(20)]
    table = pa.table({"n": list(range(320)), "y": labels})
    for kind in (pa.string(), pa.dictionary(pa.int32(), pa.string())):
        kept, held = split(table.set_column(1, "y", table["y"].cast(kind)))
        assert set(kept["y"].to_pylist()) == set(labels)
        assert held.rows > 30


def test_few_rows_are_all_fitted_and_one_value_alone_is_refused() -> None:
    kept, held = split(numbered(4))
    assert (kept.num_rows, held.rows, held.table()) == (4, 0, None)
    held.require_classes()
    _, held = split(pa.table({"n": [1, 2, 3], "y": ["no"] * 3}))
    with pytest.raises(DataInvalid, match=r"column 'y' is 'no' in all 3 rows"):
        held.require_classes()


def test_no_more_are_held_out_than_an_evaluation_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_out, "MOST", 100)
    _, held = split(numbered(5000))
    assert 50 <= held.rows <= 150
    streamed = HeldOut(0.2, ("y",))
    taken = [streamed.split(one, whole=False) for one in numbered(5000).to_batches(500)]
    assert 100 <= streamed.rows < 230
    assert sum(one.num_rows for one in taken) + streamed.rows == 5000


def test_a_checkpoint_keeps_what_is_held_out(tmp_path: Path) -> None:
    held = HeldOut(0.2, ("y",))
    for batch in numbered(1000).to_batches(250):
        held.split(batch, whole=False)
    artefact = tmp_path / "made"
    artefact.write_bytes(b"object")
    state = CheckpointState("digest", 1000, FitResult(), held_out=held.rows)
    checkpoint.write(tmp_path / "point", state, artefact, held.table())
    assert checkpoint.held_out(tmp_path / "point").equals(held.table())
    assert checkpoint.read(tmp_path / "point").held_out == held.rows


MOMENT = datetime(2026, 1, 2, 3, 4)


@pytest.mark.parametrize(
    "values",
    [
        [1, 2, None], [0.5, 2.0, float("nan")], ["a", "", None], [True, False, None],
        [date(2026, 1, 2), date(2026, 1, 3), None], [MOMENT, datetime(2027, 1, 1), None],
        [time(1), time(2), None], [Decimal("1.5"), Decimal("2"), None], [b"a", b"", None],
        [[1], [2], None], [2**60, 2**60 + 1, None],
    ],
)  # fmt: skip
def test_hashes_tell_values_of_all_types_apart(values: list[Any]) -> None:
    found = row_hash.hashes(pa.table({"c": values}))
    assert len(set(found.tolist())) == 3
    again = row_hash.hashes(pa.table({"c": list(reversed(values))}))
    assert again.tolist() == found.tolist()[::-1]


def test_a_number_is_the_same_in_each_type() -> None:
    one, other = (pa.table({"c": pa.array([0, 3], kind)}) for kind in (pa.int32(), pa.float64()))
    assert row_hash.fingerprint(one.to_batches()) == row_hash.fingerprint(other.to_batches())
