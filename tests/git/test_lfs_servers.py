"""Git LFS servers that fail, lie and dawdle; bounds. What is lacking is its folder's fault."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelsync.deadline import Deadline
from modelsync.git.lfs import fetcher
from tests.fixtures.git import GitServer
from tests.fixtures.lfs import pointer
from tests.fixtures.lfs_faults import FaultyLfs, Reply, answer
from tests.fixtures.service import answers
from tests.git.exports import DATA, OTHER, SECRET, Export, fault_of
from tests.waiting import patient, until


@pytest.mark.parametrize(
    ("status", "body", "text", "requests"),
    [
        (401, {"message": "Bad credentials"}, "refuses the credentials: Bad credentials", 1),
        (403, {"message": "over its data quota"}, "credentials: over its data quota", 1),
        (404, b"<html>", "no Git LFS server at", 1),
        (404, {"message": "Not found"}, "does not have it: Not found", 1),
        (422, {"message": f"what is {SECRET}?"}, "answers 422: what is ***?", 1),
        (501, {"message": "see https://example.com/?token=x"}, "answers 501: see ***", 1),
        (503, b"", "answers 503", 4),
        (200, b"<html>Sign in</html>", "something else than a Git LFS server", 1),
        (200, b"[" * 100_000, "something else than a Git LFS server", 1),
        (200, [1], "something else than a Git LFS server", 1),
        (200, {"objects": None}, "something else than a Git LFS server", 1),
        (200, {"objects": [{"size": 1}]}, "something else than a Git LFS server", 1),
        (200, {"objects": []}, "says nothing of it", 4),
        (200, {"transfer": "tus", "objects": []}, "no basic transfer", 1),
        (200, {"hash_algo": "sha512", "objects": []}, "no basic transfer", 1),
    ],
)
def test_a_server_that_answers_none(
    lfs: FaultyLfs, tmp_path: Path, status: int, body: Any, text: str, requests: int
) -> None:
    """The model waits and the reason is told; what may pass in a moment is tried again."""
    export = Export(tmp_path, Churn=pointer(DATA))
    lfs.on_batch += [lambda _: answer(status, body)] * 5
    fault = fault_of(export.fetch(lfs))
    assert text in fault.message
    assert fault.transient
    assert len(lfs.requests) == requests


@pytest.mark.parametrize(
    "action",
    [
        {},
        {"href": 5},
        {"href": "no url"},
        {"href": "http://[::1"},
        {"href": "file:///etc/passwd"},
        {"href": "ftp://127.0.0.1/x"},
        {"href": "https://127.0.0.1:1/x"},
        {"href": "http://127.0.0.1:99999999/x"},
        {"href": "http://127.0.0.1:1/x", "header": {"A": 5}},
        {"href": "http://127.0.0.1:1/x", "header": {"A\r\nB": "x\r\ny"}},
        {"href": "http://127.0.0.1:1/x", "header": ["A"]},
    ],
)
def test_links_that_are_none(lfs: FaultyLfs, tmp_path: Path, action: Any) -> None:
    """A link that cannot or must not be followed: a fault of that model, nothing else."""
    export = Export(tmp_path)
    usual = lfs.links
    bad = hashlib.sha256(DATA).hexdigest()
    lfs.links = lambda oid: action if oid == bad else usual(oid)
    assert fault_of(export.fetch(lfs)).transient
    assert export.file("Iris") == OTHER


def test_a_request_that_is_too_large_is_halved(lfs: FaultyLfs, tmp_path: Path) -> None:
    """413 for four objects, then for two: asked one by one."""
    contents = [DATA[:size] for size in (10, 20, 30, 40)]
    export = Export(tmp_path, **{f"M{len(one)}": pointer(one) for one in contents})
    for one in contents:
        lfs.add(one)
    usual = lfs.batch
    lfs.batch = lambda objects: Reply(413) if len(objects) > 1 else usual(objects)  # type: ignore[method-assign]
    assert export.fetch(lfs) == {}
    assert [export.file(f"M{len(one)}") for one in contents] == contents
    assert len(lfs.asked("POST")) == 7


def test_more_objects_than_one_request_holds(lfs: FaultyLfs, tmp_path: Path) -> None:
    """130 objects are asked for in two requests."""
    contents = {f"M{number}": b"%d" % number for number in range(130)}
    for one in contents.values():
        lfs.add(one)
    export = Export(tmp_path, **{name: pointer(one) for name, one in contents.items()})
    assert export.fetch(lfs) == {}
    assert {name: export.file(name) for name in contents} == contents
    assert len(lfs.asked("POST")) == 2


def test_a_server_that_asks_for_a_pause(lfs: FaultyLfs, tmp_path: Path) -> None:
    """429 with Retry-After: not before that; a pause beyond the deadline is not waited for."""
    export = Export(tmp_path, Churn=pointer(DATA))
    lfs.on_batch.append(lambda _: Reply(429, {"Retry-After": "1"}))
    lfs.on_download.append(lambda *_: Reply(429, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}))
    lfs.on_download.append(lambda *_: Reply(503, {"Retry-After": "soon"}))
    assert export.fetch(lfs) == {}
    assert export.file("Churn") == DATA
    again = Export(tmp_path / "again", Churn=pointer(DATA))
    lfs.on_batch.append(lambda _: Reply(429, {"Retry-After": "86400"}))
    deadline = Deadline(patient(20))
    assert "answers 429" in fault_of(again.fetch(lfs)).message
    assert deadline.remaining()


def test_a_server_that_is_silent(lfs: FaultyLfs, tmp_path: Path) -> None:
    """No answer, or one that never goes on: within the deadline the others are published."""
    export = Export(tmp_path, Churn=pointer(DATA))
    lfs.on_batch += [lambda _: Reply(0)] * 9
    fault = fault_of(export.fetch(lfs, seconds=2))
    assert fault.transient
    assert "failed to answer" in fault.message


@pytest.mark.parametrize("of", ["on_batch", "on_download"])
def test_a_server_that_dawdles_with_each_byte(lfs: FaultyLfs, tmp_path: Path, of: str) -> None:
    """It is never silent for long, and the sync ends in time all the same."""
    getattr(lfs, of).append(lambda *_: Reply(-1))
    export = Export(tmp_path, Churn=pointer(DATA))
    assert "there was no time" in fault_of(export.fetch(lfs, seconds=2)).message


def test_a_slow_body_goes_on_in_the_next_sync(lfs: FaultyLfs, tmp_path: Path) -> None:
    """Bytes that trickle: at the deadline that is a fault which may pass, and the next sync asks
    for the rest alone.
    """
    export = Export(tmp_path, Churn=pointer(DATA))

    def trickle() -> Iterator[bytes]:
        yield DATA[:1000]
        for place in range(1000, len(DATA)):
            if lfs.closing.wait(0.05):
                return
            yield DATA[place : place + 1]

    lfs.on_download.append(lambda *_: Reply(200, {}, trickle, len(DATA)))
    fault = fault_of(export.fetch(lfs, seconds=1))
    assert "the next sync goes on" in fault.message
    assert fault.transient
    assert export.fetch(lfs) == {}
    assert export.file("Churn") == DATA
    assert int(lfs.asked("GET")[-1].headers["Range"].removeprefix("bytes=").rstrip("-")) >= 1000


def test_nobody_listens(lfs: FaultyLfs, tmp_path: Path) -> None:
    """A host of links that is away costs its tries once, not for each of 40 objects."""
    contents = {f"M{number}": b"%d" % number for number in range(40)}
    for one in contents.values():
        lfs.add(one)
    export = Export(tmp_path, **{name: pointer(one) for name, one in contents.items()})
    with FaultyLfs() as other:
        gone = other.origin
    lfs.links = lambda oid: {"href": f"{gone}/{oid}"}
    faults = export.fetch(lfs)
    assert set(faults) == set(contents)
    assert all(fault.transient for [fault] in faults.values())
    assert "cannot be reached" in faults["M1"][0].message
    assert len(lfs.asked("POST")) <= 1 + 4 * fetcher.AT_ONCE


def test_an_update_that_is_told_to_end(lfs: FaultyLfs, tmp_path: Path) -> None:
    """It does not wait for a server that is silent in the middle of a body; the next goes on."""

    def silent() -> Iterator[bytes]:
        yield DATA[:1000]
        lfs.closing.wait()

    lfs.on_download += [lambda *_: Reply(200, {}, silent, len(DATA))]
    with GitServer(tmp_path / "models.git") as server:
        server.push({"Churn/etls.py": answers("x"), "Churn/model.pkl": pointer(DATA)})
        environ = {
            **os.environ,
            "gitPath": server.url,
            "MODELSYNC_GIT_PROTOCOLS": "http",
            "MODELSYNC_GIT_LFS_URL": lfs.url,
            "MODELSYNC_HOME": str(tmp_path / "home"),
        }
        update = subprocess.Popen([sys.executable, "-m", "modelsync.sync.update"], env=environ)
        oid = hashlib.sha256(DATA).hexdigest()
        left = tmp_path / "home/lfs/incomplete" / f"{oid}.{len(DATA)}"
        until(left.exists, 30, "the object begins to come")
        update.terminate()
        assert update.wait(patient(10)) == 143
        assert list((tmp_path / "home").glob(".*.tmp")) == []
        assert list((tmp_path / "home/releases").iterdir()) == []


# --- bounds ---------------------------------------------------------------------------------------


def test_sizes_are_bounded_by_folder(lfs: FaultyLfs, tmp_path: Path) -> None:
    """The files of a folder together, and sizes beyond any disk: refused before a request."""
    export = Export(tmp_path, Churn=pointer(DATA), Iris=pointer(OTHER), Huge=pointer(b"", 10**17))
    (export.out / "Churn/more.bin").write_text(pointer(OTHER))
    faults = export.fetch(lfs, lfs_size=len(DATA) + len(OTHER) - 1)
    assert set(faults) == {"Churn", "Huge"}
    assert "MODELSYNC_GIT_LFS_SIZE allows 0.3 MiB" in faults["Churn"][0].message
    assert not faults["Churn"][0].transient
    assert len(lfs.asked("GET")) == 1
    assert export.fetch(lfs, lfs_size=len(DATA) + len(OTHER)).keys() == {"Huge"}
    assert "no room" in export.fetch(lfs, lfs_size=10**18)["Huge"][0].message


@pytest.mark.parametrize(
    "text",
    [
        "version https://git-lfs.github.com/spec/v1\n",
        "version https://git-lfs.github.com/spec/v1\noid md5:1234\nsize 4\n",
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize -4\n",
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize {'9' * 800}\n",
        f"version https://git-lfs.github.com/spec/v1\noid sha256:../../{'0' * 58}\nsize 4\n",
        "version https://git-lfs.github.com/spec/v1\next-0-foo sha256:0\n" + pointer(b"x")[43:],
    ],
)
def test_malformed_pointers(lfs: FaultyLfs, tmp_path: Path, text: str) -> None:
    """Nothing is asked for, and the commit is to blame."""
    export = Export(tmp_path, Churn=text, Iris=pointer(OTHER))
    fault = fault_of(export.fetch(lfs))
    assert "the pointer cannot be used" in fault.message
    assert not fault.transient
    assert export.file("Iris") == OTHER


def test_files_keep_their_modes_and_links_are_not_followed(lfs: FaultyLfs, tmp_path: Path) -> None:
    """An executable stays one; a link to a pointer outside stays a link; older pointers count."""
    older = pointer(DATA).replace("git-lfs.github.com", "hawser.github.com")
    export = Export(tmp_path, Churn=older)
    (export.out / "Churn/model.pkl").chmod(0o755)
    outside = tmp_path / "outside"
    outside.write_text(pointer(OTHER))
    (export.out / "Churn/link.pkl").symlink_to(outside)
    assert export.fetch(lfs) == {}
    assert export.file("Churn") == DATA
    assert (export.out / "Churn/model.pkl").stat().st_mode & 0o777 == 0o755
    assert outside.read_text() == pointer(OTHER)
