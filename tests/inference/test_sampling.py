"""Samples of requests: what of them reaches the disk, and what it costs when there is no room."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from modelsync.inference import sampling
from modelsync.inference.sampling import Sampler
from modelsync.models.types import LoadedModel, ModelName, ModelSpec, TreeHash
from modelsync.models.versions import Column, FittedVersion, TableSchema
from modelsync.protocols.native import NATIVE
from modelsync.protocols.tables import TABLES
from tests.waiting import until


def model(*columns: str) -> LoadedModel:
    """A model with a fitted version 3 of these columns; without any, plain code."""
    spec = ModelSpec(ModelName("Price"), Path("Price"), version=TreeHash("ab" * 20))
    loaded = LoadedModel(spec, call=lambda variables: variables)
    if columns:
        schema = TableSchema("frame", tuple(Column(name, "float64") for name in columns))
        loaded.fitted = FittedVersion("Price", 3, "k", "joblib", "0" * 64, 1, Path("x"), schema)
    return loaded


def kept(home: Path) -> list[dict[str, Any]]:
    files = sorted((home / "samples" / "spool").glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_bytes().splitlines()]


def sampled(
    home: Path, body: Any, result: Any, *mask: str, columns: tuple[str, ...] = ()
) -> dict[str, Any]:
    """What is kept of one request."""
    sampler = Sampler(1.0, mask, home)
    codec = NATIVE if "variables" in body else TABLES
    sampler.heard(model(*columns), codec, "id1", _json(body), _json(result))
    sampler.flush()
    (found,) = kept(home)
    return found


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def test_a_request_of_one_row(home: Path) -> None:
    """Its id, version, time, variables and result."""
    found = sampled(home, {"variables": {"a": 1, "b": "x"}}, {"prediction": 2.5})
    assert found.pop("time") > 1.7e9
    assert found == {
        "id": "id1", "model": "Price", "code": "ab" * 20, "number": None, "rows": 1,
        "columns": {"a": [1], "b": ["x"]}, "result": {"prediction": 2.5},
    }  # fmt: skip
    spool = home / "samples" / "spool"
    assert spool.stat().st_mode & 0o077 == 0
    assert all(file.stat().st_mode & 0o177 == 0 for file in spool.iterdir())


@pytest.mark.parametrize(
    "body",
    [
        {"x": [[1, 2], [3, 4]]},
        {"data": {"a": [1, 3], "b": [2, 4]}},
        {"data": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]},
        {"x": json.dumps({"columns": ["a", "b"], "index": [0, 1], "data": [[1, 2], [3, 4]]}),
         "orient": "split"},
    ],
)  # fmt: skip
def test_rows_have_the_names_of_the_version(home: Path, body: Any) -> None:
    """In whatever form they come."""
    found = sampled(home, body, {"y": [0, 1]}, columns=("a", "b"))
    assert (found["columns"], found["number"]) == ({"a": [1, 3], "b": [2, 4]}, 3)


def test_a_row_without_names(home: Path) -> None:
    """A flat list is a row of a version with several columns."""
    found = sampled(home, {"data": [7, 8]}, {"predictions": [1]}, columns=("a", "b"))
    assert found["columns"] == {"a": [7], "b": [8]}


def test_many_rows_are_thinned_out_with_their_results(home: Path) -> None:
    """A hundred of a thousand rows, each with its own result."""
    body = {"data": {"a": list(range(1000))}}
    result = {"predict": list(range(1000)), "predict_proba": [[n, 0] for n in range(1000)]}
    found = sampled(home, body, result)
    rows = list(range(0, 1000, 10))
    assert found["columns"] == {"a": rows}
    assert found["result"] == {"predict": rows, "predict_proba": [[n, 0] for n in rows]}
    assert found["rows"] == 1000


@pytest.mark.parametrize(
    ("body", "columns"),
    [
        ({"variables": {"NAME": "secret", "a": {"name": "secret", "b": [{"name": "secret"}]}}}, ()),
        ({"x": [["secret", 2]]}, ("name", "b")),
        ({"data": ["secret", 2]}, ("name", "b")),
        ({"data": {"name": ["secret"], "b": [1]}}, ()),
        ({"x": [["secret", 2]]}, ()),  # nobody knows which column that is
    ],
)
def test_masked_columns_never_reach_the_disk(
    home: Path, body: Any, columns: tuple[str, ...]
) -> None:
    """By name, in whatever case, at any depth and place, in requests and results."""
    result = {"y": [1], "name": "secret", "echo": [{"Name": "secret"}]}
    sampled(home, body, result, "name", columns=columns)
    assert b"secret" not in b"".join(
        file.read_bytes() for file in home.rglob("*") if file.is_file()
    )


def test_long_values_are_bounded(home: Path) -> None:
    """Long texts are cut off; a request that is too large for its line has fewer rows."""
    found = sampled(home, {"data": {"a": ["x" * 5000] * 300}}, {"predict": ["y" * 9000] * 300})
    assert {len(text) for text in found["columns"]["a"]} == {1000}
    huge = home.parent / "huge"
    huge.mkdir()
    wide = {f"c{number}": ["x" * 1000] * 10 for number in range(1000)}
    sampler = Sampler(1.0, (), huge)
    sampler.heard(model(), TABLES, "id", _json({"data": wide}), b"{}")
    sampler.flush()
    assert kept(huge) == []


def test_one_in_twenty_is_taken(home: Path) -> None:
    """About as many as the rate says."""
    sampler = Sampler(0.05, (), home)
    for _ in range(10_000):
        sampler.heard(model(), NATIVE, "id", b'{"variables":{}}', b"{}")
    sampler.flush()
    assert 400 < len(kept(home)) < 600


def test_failures_are_not_taken(home: Path) -> None:
    """Only what a model has answered."""
    sampler = Sampler(1.0, (), home)
    from modelsync.errors import NotFitted

    sampler.heard(model(), NATIVE, "id", b"{}", NotFitted("not yet"))
    sampler.heard(None, NATIVE, "id", b"{}", b"{}")
    sampler.flush()
    assert kept(home) == []


def test_memory_and_disk_are_bounded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What finds no room is lost; later ones are kept again."""
    sampler = Sampler(1.0, (), home)
    monkeypatch.setattr(sampler, "_start_writing", lambda: None)
    body = _json({"variables": {"a": "x" * 900_000}})
    for _ in range(20):
        sampler.heard(model(), NATIVE, "id", body, b"{}")
    assert len(sampler._pending) == 9
    sampler.flush()
    assert len(kept(home)) == 9
    monkeypatch.setattr(sampling, "MAX_SPOOL", 10)
    sampler.heard(model(), NATIVE, "id", b'{"variables":{}}', b"{}")
    sampler.flush()
    assert len(kept(home)) == 9
    monkeypatch.setattr(sampling, "MAX_SPOOL", 10**9)
    sampler.heard(model(), NATIVE, "id", b'{"variables":{}}', b"{}")
    sampler.flush()
    assert len(kept(home)) == 10


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, of Linux")
def test_full_disk_and_folder_that_is_gone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither raises; no part of a file is left."""
    sampler = Sampler(1.0, (), home)
    whole = os.open

    def full(path: Any, flags: int, *mode: int) -> int:
        if str(path).endswith(".tmp"):
            whole(path, flags, *mode)
            return whole("/dev/full", os.O_WRONLY)
        return whole(path, flags, *mode)

    monkeypatch.setattr(os, "open", full)
    sampler.heard(model(), NATIVE, "id", b'{"variables":{}}', b"{}")
    sampler.flush()
    monkeypatch.undo()
    assert not any((home / "samples" / "spool").iterdir())
    gone = Sampler(1.0, (), home / "no" / "such")
    gone.heard(model(), NATIVE, "id", b'{"variables":{}}', b"{}")
    gone.flush()


def test_thread_writes_by_itself_and_in_a_child(home: Path) -> None:
    """After a fork the child has a thread of its own, and nothing of its parent's."""
    sampler = Sampler(1.0, (), home)
    sampler.heard(model(), NATIVE, "parent", b'{"variables":{}}', b"{}")
    until(lambda: len(kept(home)) == 1, 10)
    child = os.fork()
    if child == 0:
        sampler.heard(model(), NATIVE, "child", b'{"variables":{}}', b"{}")
        until(lambda: len(kept(home)) == 2, 10)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [one["id"] for one in kept(home)] == ["parent", "child"]
