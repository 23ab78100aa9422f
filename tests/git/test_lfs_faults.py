"""Git LFS servers that fail, lie and dawdle: what cannot be had is its folder's fault alone."""

from __future__ import annotations

import base64
import gzip
import hashlib
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from modelsync.backoff import Backoff
from modelsync.deadline import Deadline
from modelsync.git.lfs import fetcher
from modelsync.git.lfs.large_files import LargeFiles
from modelsync.models.types import Fault
from modelsync.settings import Git
from modelsync.settings.secret import Secret
from tests.fixtures.git import GitServer
from tests.fixtures.lfs import pointer
from tests.fixtures.lfs_faults import FaultyLfs, Reply, answer
from tests.fixtures.service import answers
from tests.waiting import patient, until

DATA, OTHER = b"model " * 50_000, b"other " * 1000
SECRET = "s3cret-of-the-tests"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetcher, "RETRY", Backoff(first=0.01, most=0.02))


@pytest.fixture
def lfs() -> Iterator[FaultyLfs]:
    with FaultyLfs() as server:
        server.add(DATA)
        server.add(OTHER)
        yield server


class Export:
    """An export of two models with a large file each, and the state directory beside it."""

    def __init__(self, folder: Path, **files: str) -> None:
        self.home, self.out = folder / "home", folder / "out"
        for name, text in (files or {"Churn": pointer(DATA), "Iris": pointer(OTHER)}).items():
            (self.out / name).mkdir(parents=True, exist_ok=True)
            (self.out / name / "model.pkl").write_text(text)

    def file(self, name: str) -> bytes:
        return (self.out / name / "model.pkl").read_bytes()

    def fetch(
        self, server: FaultyLfs, seconds: float = 30, **settings: Any
    ) -> Mapping[str, tuple[Fault, ...]]:
        git = Git(
            **{
                "path": f"{server.origin}/team/models.git",
                "protocols": frozenset({"http"}),
                "user": "user",
                "password": Secret(SECRET),
                "lfs_url": server.url,
                **settings,
            }
        )
        files = LargeFiles(self.home, git, mirror=self.home / "repo.git")
        return files.put_in_place("1" * 40, self.out, Deadline(patient(seconds)))


def fault_of(faults: Mapping[str, tuple[Fault, ...]], name: str = "Churn") -> Fault:
    """The fault of this model, which is the only one that has any."""
    assert set(faults) == {name}
    [fault] = faults[name]
    assert fault.file == "model.pkl"
    assert fault.message.startswith("LFS pointer: ")
    assert SECRET not in fault.message
    return fault


def only(oid: str, reply: Callable[[], Reply]) -> Callable[[str, bytes], Reply]:
    """An answer to a download of one object; others get what they ask for."""

    def respond(_range: str, data: bytes) -> Reply:
        if hashlib.sha256(data).hexdigest() == oid:
            return reply()
        return Reply(200, {}, lambda: iter([data]), len(data))

    return respond


# --- objects --------------------------------------------------------------------------------------


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


# --- the server -----------------------------------------------------------------------------------


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


# --- secrets --------------------------------------------------------------------------------------


def test_redirects_leave_credentials_behind(lfs: FaultyLfs, tmp_path: Path) -> None:
    """A redirect on the same host keeps the login; one to another host gets neither the login nor
    the headers of the link.
    """
    export = Export(tmp_path, Churn=pointer(DATA))
    with FaultyLfs() as other:
        oid = other.add(DATA)
        lfs.on_batch += [
            lambda _: Reply(307, {"Location": "/moved/objects/batch"}),
            lambda _: Reply(308, {"Location": f"{other.url}/objects/batch"}),
        ]
        other.links = lambda oid: {
            "href": f"{other.origin}/{oid}",
            "header": {"Authorization": f"Bearer {SECRET}", "X-Api-Key": SECRET},
        }
        other.on_download.append(
            lambda *_: Reply(302, {"Location": f"{lfs.origin}/objects/{oid}?signature=1"})
        )
        assert export.fetch(lfs) == {}
        assert export.file("Churn") == DATA
        same, moved = lfs.asked("POST")
        assert same.headers["Authorization"] == moved.headers["Authorization"]
        assert same.headers["Authorization"].startswith("Basic ")
        assert "Authorization" not in other.asked("POST")[0].headers
        assert other.asked("GET")[0].headers["X-Api-Key"] == SECRET
        [last] = lfs.asked("GET")
        assert SECRET not in str(last)
        assert "Authorization" not in last.headers


def test_links_get_the_login_only_where_it_belongs(lfs: FaultyLfs, tmp_path: Path) -> None:
    """A link on the server itself gets the login, unless it has one or says that it needs none; a
    link to another host gets what it brings.
    """
    cases: list[tuple[dict[str, Any], bool, str]] = [
        ({}, True, "Basic"),
        ({"header": {"authorization": "RemoteAuth x"}}, True, "RemoteAuth"),
        ({}, False, ""),
    ]
    for number, (more, at_home, expected) in enumerate(cases):
        with FaultyLfs() as other:
            other.add(DATA)
            server = lfs if at_home else other
            lfs.links = lambda oid, at=server.origin, more=more: {  # type: ignore[misc]
                "href": f"{at}/objects/{oid}",
                **more,
            }
            assert Export(tmp_path / str(number), Churn=pointer(DATA)).fetch(lfs) == {}
            found = {name.lower(): value for name, value in server.asked("GET")[-1].headers.items()}
            assert found.get("authorization", "").partition(" ")[0] == expected


def test_redirects_without_end(lfs: FaultyLfs, tmp_path: Path) -> None:
    """A circle of redirects is left."""
    export = Export(tmp_path, Churn=pointer(DATA))
    lfs.on_batch += [lambda _: Reply(307, {"Location": lfs.url + "/objects/batch"})] * 20
    assert "redirects without end" in fault_of(export.fetch(lfs)).message
    assert len(lfs.requests) < 8


def test_a_server_that_repeats_what_it_got(lfs: FaultyLfs, tmp_path: Path) -> None:
    """The login is no part of its message, which may be long."""

    def repeat(_objects: object) -> Reply:
        said = " ".join(lfs.requests[-1].headers.values())
        return answer(403, {"message": said + "x" * 100_000})

    lfs.on_batch.append(repeat)
    message = fault_of(Export(tmp_path, Churn=pointer(DATA)).fetch(lfs)).message
    assert "Basic ***" in message
    assert len(message) < 400


def test_no_secret_is_logged(
    lfs: FaultyLfs, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the password nor a signed link stands in a message, whatever fails."""
    caplog.set_level(logging.DEBUG)
    export = Export(tmp_path, Churn=pointer(DATA))
    lfs.links = lambda oid: {"href": f"{lfs.origin}/objects/{oid}?jwt=signed-link"}
    lfs.on_batch.append(lambda _: answer(503, {"message": f"who is {SECRET}"}))
    lfs.on_download += [lambda *_: Reply(403)] * 4
    fault = fault_of(export.fetch(lfs))
    assert "signed-link" not in fault.message
    ours = "\n".join(record.getMessage() for record in caplog.records if "modelsync" in record.name)
    assert "Git LFS" in ours
    assert SECRET not in caplog.text
    assert "signed-link" not in ours


def test_certificates_are_those_that_git_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server whose certificate nobody has signed is not asked, until git is told to trust it."""
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    with FaultyLfs((certificate, key)) as lfs:
        lfs.add(DATA)
        export = Export(tmp_path, Churn=pointer(DATA))
        fault = fault_of(export.fetch(lfs, protocols=frozenset({"https"})))
        assert "certificate of 127.0.0.1" in fault.message
        monkeypatch.setenv("GIT_SSL_CAINFO", str(certificate))
        assert export.fetch(lfs, protocols=frozenset({"https"})) == {}
        assert export.file("Churn") == DATA
        with FaultyLfs() as plain:
            lfs.on_batch.append(lambda _: Reply(307, {"Location": f"{plain.url}/objects/batch"}))
            again = Export(tmp_path / "again", Churn=pointer(DATA))
            fault = fault_of(again.fetch(lfs, protocols=frozenset({"https"})))
            assert "leads to a URL with http" in fault.message
            assert plain.requests == []


def test_through_a_proxy(lfs: FaultyLfs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy of git's variables is asked, with its login, for hosts that only it knows; hosts
    in `no_proxy` are asked themselves.
    """
    monkeypatch.setenv("http_proxy", lfs.origin.replace("//", "//proxy:p%40ss@"))
    lfs.links = lambda oid: {"href": f"http://files.example.com/objects/{oid}"}
    export = Export(tmp_path, Churn=pointer(DATA))
    assert export.fetch(lfs, lfs_url="http://lfs.example.com/team/models") == {}
    assert export.file("Churn") == DATA
    [batch], [download] = lfs.asked("POST"), lfs.asked("GET")
    assert batch.path == "http://lfs.example.com/team/models/objects/batch"
    login = f"Basic {base64.b64encode(b'proxy:p@ss').decode()}"
    assert batch.headers["proxy-authorization"] == download.headers["proxy-authorization"] == login
    assert "Authorization" not in download.headers
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with FaultyLfs() as near:
        near.add(DATA)
        assert Export(tmp_path / "near", Churn=pointer(DATA)).fetch(near) == {}


def test_switched_off(lfs: FaultyLfs, tmp_path: Path) -> None:
    """With MODELSYNC_GIT_LFS=off nothing is asked and the pointers stay."""
    export = Export(tmp_path)
    assert export.fetch(lfs, lfs=False) == {}
    assert export.file("Churn").startswith(b"version")
    assert lfs.requests == []
