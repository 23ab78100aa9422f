"""Which commit is followed, and over what: refs, folders, ssh and HTTPS, hostile trees and URLs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.git import GitServer, executable, link, submodule
from tests.fixtures.service import answers
from tests.fixtures.ssh import SshGitServer
from tests.service.following import (
    ADMIN,
    NO_PROXY,
    LastGood,
    alone,
    answered_by,
    following,
    push,
    sync,
    webhook,
)
from tests.waiting import patient, until

pytestmark = pytest.mark.long

# --- which commit ---------------------------------------------------------------------------------


def test_a_rewritten_history_is_followed(server: GitServer, tmp_path: Path) -> None:
    """A force push, also one back to an old commit: the remote's tip, exactly."""
    with following(tmp_path, server, MODELSYNC_GIT_REF="main") as service:
        first = server.git("rev-parse", "main")
        commit = push(server, "rewritten", {"Other/etls.py": answers(1)}, onto=None)
        webhook(service)
        answered_by(service, commit, "rewritten")
        assert server.push({"Model/etls.py": answers(2)}, onto=first)  # without Other
        webhook(service)
        answered_by(service, server.git("rev-parse", "main"), 2)
        service.swapped()
        assert service.post("Other").status_code == 404
        server.git("update-ref", "refs/heads/main", first)
        webhook(service)
        answered_by(service, first, 0)


def test_a_status_of_another_release_is_not_believed(server: GitServer, tmp_path: Path) -> None:
    """A crash between the new release and the status that tells of it: a push back to the old
    commit still counts.
    """
    first = server.git("rev-parse", "main")
    with following(tmp_path, server) as service:
        answered_by(service, first, 0)
        before = (service.home / "status.json").read_bytes()
        second = push(server, 1)
        service.sync()
        answered_by(service, second, 1)
        service.stop()
    (service.home / "status.json").write_bytes(before)
    server.git("update-ref", "refs/heads/main", first)
    with following(tmp_path, server) as service:
        answered_by(service, first, 0)


def test_a_tag_is_followed_where_it_moves(server: GitServer, tmp_path: Path) -> None:
    """A tag: its commit, peeled where it is annotated, also after it was moved; the branch does not
    matter.
    """
    server.tag("live")
    with following(tmp_path, server, MODELSYNC_GIT_REF="live") as service:
        for value, annotated in enumerate((True, False), 1):
            commit = push(server, value)
            assert sync(service)["result"] == "unchanged"
            server.tag("live", commit, annotated=annotated)
            service.sync()
            answered_by(service, commit, value)


def test_a_commit_is_pinned(server: GitServer, tmp_path: Path) -> None:
    """A pinned hash is served and nothing else, also if no ref of the repository is at it."""
    pinned = server.git("rev-parse", "main")
    push(server, "newer")
    with following(tmp_path, server, MODELSYNC_GIT_REF=pinned) as service:
        answered_by(service, pinned, 0)
        assert sync(service)["result"] == "unchanged"
        answered_by(service, pinned, 0)


def test_the_folder_is_suggested_and_then_followed(tmp_path: Path) -> None:
    """Models in a folder: not ready, with the setting to make; made, it serves. Changed later, it
    counts at once.
    """
    with GitServer(tmp_path / "repository.git") as server:
        server.push(
            {"models_serve/Model/etls.py": answers("deep"), "other/Model/etls.py": answers("other")}
        )
        with following(tmp_path, server, ready=False) as service:
            until(
                lambda: (
                    "MODELSYNC_GIT_SUBDIR=models_serve" in service.get("/readyz").json()["detail"]
                ),
                20,
            )
            assert service.get("/readyz").status_code == 503
            assert service.get("/livez").status_code == 200
        for folder, value in (("models_serve", "deep"), ("other", "other")):
            with following(tmp_path, server, MODELSYNC_GIT_SUBDIR=folder) as service:
                answered_by(service, server.git("rev-parse", "main"), value)


# --- other transports -----------------------------------------------------------------------------


@pytest.mark.skipif(
    not SshGitServer.available(), reason="no openssh-server, or no login shell for this user"
)
def test_over_ssh_until_the_host_key_is_unknown(tmp_path: Path) -> None:
    """With a key file and known hosts it follows; it refuses a host key that is not known."""
    with SshGitServer(tmp_path / "repository.git") as server:
        push(server, 0)
        keys = {
            "MODELSYNC_GIT_SSH_KEY_FILE": str(server.key),
            "MODELSYNC_GIT_KNOWN_HOSTS_FILE": str(server.known_hosts),
        }
        with following(tmp_path, server, env=keys) as service:
            commit = push(server, 1)
            webhook(service)
            answered_by(service, commit, 1)
            good = LastGood.of(service)
            server.trust("other_host_key")
            commit = push(server, 2)
            assert sync(service)["reason"] == "untrusted"
            good.goes_on(service)
            alone(service)
            server.trust("host_key")
            service.sync()
            answered_by(service, commit, 2)


def test_over_https_only_with_a_trusted_certificate(tmp_path: Path) -> None:
    """A self-signed certificate: not ready, the reason, never insecurely; once it is an authority,
    it serves.
    """
    with (
        GitServer(tmp_path / "repository.git", tls=True) as server,
        GitServer(tmp_path / "x.git", tls=True) as other,
    ):
        authorities = tmp_path / "authorities.crt"
        shutil.copy(other.certificate, authorities)
        commit = push(server, 0)
        env = {"GIT_SSL_NO_VERIFY": "1", "GIT_SSL_CAINFO": str(authorities)}
        with following(tmp_path, server, ready=False, env=env) as service:
            until(lambda: "certificate" in service.get("/readyz").json()["detail"], 20)
            assert service.lines(event="sync")[0]["reason"] == "untrusted"
            shutil.copy(server.certificate, authorities)
            service.sync()
            answered_by(service, commit, 0)


# --- trees ----------------------------------------------------------------------------------------


def test_hostile_trees_execute_nothing_and_are_named(server: GitServer, tmp_path: Path) -> None:
    """Links out, submodules, hooks, filters, odd names: the offenders are named, the others serve
    as committed.
    """
    outside = tmp_path / "outside"
    outside.write_text("secret-of-the-machine")
    marker = tmp_path / "executed"
    run = f"#!/bin/sh\ntouch {marker}\n"
    commit = server.push(
        {
            "Link/etls.py": answers(1, "Link"), "Link/data": link(str(outside)),
            "Climbs/etls.py": answers(1, "Climbs"), "Climbs/up": link("../Model/etls.py"),
            "Sub/etls.py": answers(1, "Sub"), "Sub/library": submodule(), "Whole": submodule(),
            ".gitmodules": '[submodule "Whole"]\n\tpath = Whole\n'
                           f'\turl = ext::sh -c "touch {marker}"\n',
            "Model/.gitattributes": "*.txt filter=evil export-subst\n*.py text eol=crlf\n",
            "Model/x.txt": "$Format:%H$",
            ".gitattributes": "* filter=evil\n",
            ".gitconfig": f'[filter "evil"]\n\tsmudge = {marker}\n',
            "hooks/post-checkout": executable(run), ".githooks/post-checkout": executable(run),
            "Odd\nname/etls.py": answers(1), "-rf/etls.py": answers(1),
            "--upload-pack=x/etls.py": answers(1),
            "Lfs/etls.py": answers(1, "Lfs"),
            "Lfs/model.pkl": "version https://git-lfs.github.com/spec/v1\n"
                             f"oid sha256:{'0' * 64}\nsize 1\n",
        }
    )  # fmt: skip
    with following(tmp_path, server) as service:
        answered_by(service, commit, 0)
        page = service.get("/models/", headers={**ADMIN, "Accept": "application/json"})
        found = {entry["name"]: entry for entry in service.release()["models"].values()}
        refused = {"Link", "Climbs", "Sub", "Whole", "Odd\nname", "-rf", "--upload-pack=x", "Lfs"}
        assert {name for name, entry in found.items() if entry["fault"]} == refused
        reported = {line["model"]: line["message"] for line in service.lines(event="model_broken")}
        assert set(reported) == refused
        for name, word in {
            "Link": "'data'",
            "Climbs": "'up'",
            "Sub": "'library'",
            "Whole": "submodule",
            "Lfs": "LFS pointer",
        }.items():
            assert word in reported[name]
            assert word.strip("'") in page.text
        assert "LFS pointer" in service.post("Lfs").json()["detail"]
        assert service.post("Lfs").status_code == 503
        assert (service.home / "current/models_serve/Model/x.txt").read_text() == "$Format:%H$"
        assert (service.home / "current/models_serve/Model/etls.py").read_text() == answers(0)
        for path in (service.home / "releases").rglob("*"):
            assert not path.is_file() or b"secret-of-the-machine" not in path.read_bytes()
        assert not marker.exists()


# --- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["serve", "sync"])
@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% /tmp/pwned",
        "--upload-pack=touch /tmp/pwned",
        "https://me:hunter2@host.example/x.git",
    ],
)
def test_a_url_that_is_not_allowed_ends_the_start(tmp_path: Path, url: str, command: str) -> None:
    """Exit code 2 and one line, without what may be secret; no state directory is made. More in
    git/test_urls.py.
    """
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MODELSYNC_", "git"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "modelsync", command],
        cwd=tmp_path, env={**clean, "gitPath": url, "MODELSYNC_PORT": "0", **NO_PROXY},
        capture_output=True, text=True, timeout=patient(30),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("modelsync: gitPath ")
    assert len(done.stderr.splitlines()) == 1
    assert "hunter2" not in done.stderr
    assert "touch" not in done.stderr
    assert not (tmp_path / ".modelsync").exists()
