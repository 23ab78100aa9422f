"""Objects of Git LFS that cannot be had whole: each is the fault of its folder alone."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.lfs import pointer
from tests.fixtures.lfs_faults import FaultyLfs, Reply, answer
from tests.git.exports import DATA, OTHER, Export, fault_of, only


def test_altered_bytes_never_become_a_model(lfs: FaultyLfs, tmp_path: Path) -> None:
    """Bytes of the right size and another hash: refused, for good; the pointer stays, the other
    model has its file, nothing of it is kept.
    """
    lfs.objects[hashlib.sha256(DATA).hexdigest()] = bytes(len(DATA))
    export = Export(tmp_path)
    fault = fault_of(export.fetch(lfs))
    assert "SHA-256" in fault.message
    assert not fault.transient
    assert export.file("Churn").startswith(b"version https://git-lfs")
    assert export.file("Iris") == OTHER
    assert len(list((export.home / "lfs/objects").rglob("*/*/*"))) == 1
    assert list((export.home / "lfs/incomplete").iterdir()) == []


def test_a_pointer_with_a_wrong_size(lfs: FaultyLfs, tmp_path: Path) -> None:
    """It never gets in the way of another one's download of the same object."""
    wrong = {
        f"Wrong{by}": pointer(DATA).replace(f"size {len(DATA)}", f"size {len(DATA) + by}")
        for by in (-9, 9)
    }
    for number in range(5):
        export = Export(tmp_path / str(number), Churn=pointer(DATA), **wrong)
        assert set(export.fetch(lfs)) == set(wrong)
        assert export.file("Churn") == DATA


@pytest.mark.parametrize("sent", [0, 1, 200_000])
def test_a_body_that_breaks_off_is_continued(lfs: FaultyLfs, tmp_path: Path, sent: int) -> None:
    """The rest is asked for by range, not the whole again."""
    export = Export(tmp_path, Churn=pointer(DATA))
    lfs.on_download.append(lambda _, data: Reply(200, {}, lambda: iter([data[:sent]]), len(data)))
    assert export.fetch(lfs) == {}
    assert export.file("Churn") == DATA
    first, second = lfs.asked("GET")
    assert "Range" not in first.headers
    assert second.headers.get("Range") == (f"bytes={sent}-" if sent else None)


@pytest.mark.parametrize(
    "reply",
    [
        lambda _, data: Reply(200, {}, lambda: iter([data]), len(data)),  # ignores the range
        lambda _, data: Reply(416),
        lambda _, data: Reply(206, {"Content-Range": "bytes 0-9/300000"}, lambda: iter([data]), 9),
        lambda _, data: Reply(206, {}, lambda: iter([data]), len(data)),
    ],
)
def test_servers_without_ranges(
    lfs: FaultyLfs, tmp_path: Path, reply: Callable[[str, bytes], Reply]
) -> None:
    """What a server answers to a range, or in place of it, is never mixed with what had come."""
    export = Export(tmp_path, Churn=pointer(DATA))
    lfs.on_download += [lambda _, data: Reply(200, {}, lambda: iter([data[:9]]), len(data)), reply]
    assert export.fetch(lfs) == {}
    assert export.file("Churn") == DATA


def test_a_damaged_beginning_is_not_continued(lfs: FaultyLfs, tmp_path: Path) -> None:
    """What an earlier sync had left is damaged: fetched anew, and nobody is blamed."""
    export = Export(tmp_path, Churn=pointer(DATA))
    left = export.home / "lfs/incomplete" / f"{hashlib.sha256(DATA).hexdigest()}.{len(DATA)}"
    left.parent.mkdir(parents=True)
    for damage in (b"?" * 1000, b"?" * len(DATA), b"?" * 2 * len(DATA)):
        left.write_bytes(damage)
        assert export.fetch(lfs) == {}
        assert export.file("Churn") == DATA
        lfs_object = next((export.home / "lfs/objects").rglob(left.stem))
        lfs_object.unlink()
        (export.out / "Churn/model.pkl").write_text(pointer(DATA))


def test_more_bytes_than_committed(lfs: FaultyLfs, tmp_path: Path) -> None:
    """A body without end is read up to the first byte too many."""
    export = Export(tmp_path)

    def endless() -> Iterator[bytes]:
        while not lfs.closing.is_set():
            yield b"x" * 65536

    oid = hashlib.sha256(DATA).hexdigest()
    lfs.on_download += [only(oid, lambda: Reply(200, {}, endless, None))] * 2
    assert "sends more than its 300000 bytes" in fault_of(export.fetch(lfs)).message
    assert list((export.home / "lfs/incomplete").iterdir()) == []


def test_packed_and_chunked_bodies_are_read(lfs: FaultyLfs, tmp_path: Path) -> None:
    """A server that packs all the same, in chunks: the bytes count that are in it."""
    export = Export(tmp_path, Churn=pointer(DATA))
    lfs.on_download.append(
        lambda _, data: Reply(
            200, {"Content-Encoding": "gzip"}, lambda: iter([gzip.compress(data)]), None
        )
    )
    assert export.fetch(lfs) == {}
    assert export.file("Churn") == DATA


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (404, "does not have it"),
        (410, "does not have it"),
        (422, "answers 422: no good"),
        (500, "answers 500: no good"),
        (418, "answers 418: no good"),
    ],
)
def test_errors_of_one_object(lfs: FaultyLfs, tmp_path: Path, code: int, text: str) -> None:
    """An error of the batch API for one object: its folder's fault, which may pass."""
    export = Export(tmp_path)
    usual = lfs.batch

    def batch(objects: list[dict[str, Any]]) -> Reply:
        found = [
            {**one, "error": {"code": code, "message": "no good"}}
            if one["size"] == len(DATA)
            else {**one, "actions": {"download": lfs.links(one["oid"])}}
            for one in objects
        ]
        return answer(200, {"objects": found})

    lfs.batch = batch  # type: ignore[method-assign]
    fault = fault_of(export.fetch(lfs))
    assert text in fault.message
    assert fault.transient
    assert export.file("Iris") == OTHER
    lfs.batch = usual  # type: ignore[method-assign]
    assert export.fetch(lfs) == {}
    assert export.file("Churn") == DATA


@pytest.mark.parametrize("status", [401, 403])
def test_an_expired_link_is_asked_for_anew(lfs: FaultyLfs, tmp_path: Path, status: int) -> None:
    """A link that is refused: a new one is asked for, of this object alone."""
    export = Export(tmp_path, Churn=pointer(DATA))
    lfs.on_download.append(lambda _, __: Reply(status))
    assert export.fetch(lfs) == {}
    assert len(lfs.asked("POST")) == 2
