"""Whom a fetch from Git LFS gives its login: nobody else, no log and no message."""

from __future__ import annotations

import base64
import logging
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.lfs import pointer
from tests.fixtures.lfs_faults import FaultyLfs, Reply, answer
from tests.git.exports import DATA, SECRET, Export, fault_of


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
