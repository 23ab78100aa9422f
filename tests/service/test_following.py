"""A push to a real git server changes what runs; what does not concern the models changes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import requests

from tests.servers.git import GitServer, SshGitServer, executable, link, submodule
from tests.servers.service import answers
from tests.service.following import (
    ADMIN,
    NO_PROXY,
    LastGood,
    alone,
    answered_by,
    following,
    litter,
    metric,
    push,
    settled,
    sync,
    synced,
    told,
    update_of,
    webhook,
)
from tests.waiting import until


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    with GitServer(tmp_path / "repository.git") as server:
        push(server, 0, {"README.md": "hello"})
        yield server


# --- what starts a sync -----------------------------------------------------------------------------------------------


def test_a_push_is_answered_whoever_tells_of_it(server: GitServer, tmp_path: Path) -> None:
    """Each git host's webhook, the admin token and SIGHUP: the new commit answers, under its name."""
    with following(tmp_path, server) as service:
        answered_by(service, server.git("rev-parse", "main"), 0)
        for value, host in enumerate(("GitHub", "Gitea", "GitLab"), 1):
            commit = push(server, value)
            answer = webhook(service, host)
            assert (answer.status_code, answer.headers["Location"]) == (202, "/models/sync")
            answered_by(service, commit, value)
        commit = push(server, "token")
        assert requests.post(f"{service.base}/sync", headers=ADMIN, timeout=30).status_code == 202
        answered_by(service, commit, "token")
        assert (told(service)["result"], told(service)["served"], told(service)["in_step"]) == (
            "published",
            commit,
            True,
        )
        commit = push(server, "signal")
        service.sync()
        answered_by(service, commit, "signal")
        settled(service)
        alone(service)
        assert litter(service) == []


def test_the_schedule_finds_a_push(server: GitServer, tmp_path: Path) -> None:
    """`@every 1s`: nobody has to tell."""
    with following(tmp_path, server, MODELSYNC_SYNC_CRON="@every 1s") as service:
        answered_by(service, push(server, 1), 1)
        assert told(service)["next"]


def test_nothing_is_fetched_where_nothing_moved(server: GitServer, tmp_path: Path) -> None:
    """A sync for nothing is one `ls-remote`, and no process is replaced."""
    with following(tmp_path, server) as service:
        good = LastGood.of(service)
        before = len(server.requests)
        assert sync(service)["result"] == "unchanged"
        asked = server.requests[before:]
        before = len(server.requests)
        subprocess.run(
            ["git", "ls-remote", server.url, "HEAD"], check=True, capture_output=True, env={**os.environ, **NO_PROXY}
        )
        assert asked == server.requests[before:]
        good.goes_on(service)


def test_a_commit_beside_the_models_swaps_nothing(server: GitServer, tmp_path: Path) -> None:
    """The same processes go on and the service says that it is in step; the next sync fetches nothing again."""
    push(server, 0, {"served/Model/etls.py": answers("sub")})
    with following(tmp_path, server, MODELSYNC_GIT_SUBDIR="served") as service:
        good = LastGood.of(service)
        for change in ({"README.md": "new"}, {"Model/etls.py": answers("outside")}, {"served/README.md": "new"}):
            commit = server.push(change)
            assert sync(service)["result"] == "unchanged"
            good.goes_on(service)
            found = told(service)
            assert (found["wanted"], found["served"], found["in_step"]) == (commit, commit, True)
            assert service.status()["served_commit"] == commit
            assert metric(service, "commit_info", commit=commit, which="served") == 1
            assert metric(service, "sync_in_step") == 1
            before = len(server.requests)
            sync(service)
            assert len(server.requests) - before == 2  # one ls-remote
        assert [path.name for path in (service.home / "releases").iterdir()] == [good.commit]


def test_a_thousand_webhooks_are_one_sync_and_one_more(server: GitServer, tmp_path: Path) -> None:
    """Each is answered with 202; what comes during a sync is one more sync afterwards; no descriptor is lost."""
    with following(tmp_path, server) as service:
        settled(service)
        alone(service)
        syncs, asked = len(service.lines(event="sync")), len(server.requests)
        webhook(service)
        update = until(lambda: update_of(service))
        update.suspend()
        with ThreadPoolExecutor(32) as pool:
            descriptors = [_descriptors(one.pid) for one in (psutil.Process(service.process.pid), *service.workers())]
            codes = list(pool.map(lambda _: webhook(service).status_code, range(1000)))
        update.resume()
        assert codes == [202] * 1000
        synced(service, syncs + 1)
        alone(service)
        assert len(service.lines(event="sync")) == syncs + 2
        assert len([path for _, path, _ in server.requests[asked:] if "info/refs" in path]) == 2
        after = [psutil.Process(service.process.pid), *service.workers()]
        until(lambda: all(_descriptors(one.pid) <= old + 1 for one, old in zip(after, descriptors, strict=True)), 30)


def _descriptors(pid: int) -> int:
    return psutil.Process(pid).num_fds()


# --- which commit -----------------------------------------------------------------------------------------------------


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
        assert service.post("Other").status_code == 404
        server.git("update-ref", "refs/heads/main", first)
        webhook(service)
        answered_by(service, first, 0)


def test_a_status_of_another_release_is_not_believed(server: GitServer, tmp_path: Path) -> None:
    """A crash between the new release and the status that tells of it: a push back to the old commit still counts."""
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
    """A tag: its commit, peeled where it is annotated, also after it was moved; the branch does not matter."""
    server.tag("live")
    with following(tmp_path, server, MODELSYNC_GIT_REF="live") as service:
        for value, annotated in enumerate((True, False), 1):
            commit = push(server, value)
            assert sync(service)["result"] == "unchanged"
            server.tag("live", commit, annotated=annotated)
            service.sync()
            answered_by(service, commit, value)


def test_a_commit_is_pinned(server: GitServer, tmp_path: Path) -> None:
    """A commit's hash is served and nothing else; a repository without an advertised one as well."""
    pinned = server.git("rev-parse", "main")
    push(server, "newer")
    with following(tmp_path, server, MODELSYNC_GIT_REF=pinned) as service:
        answered_by(service, pinned, 0)
        assert sync(service)["result"] == "unchanged"
        answered_by(service, pinned, 0)


def test_the_folder_is_suggested_and_then_followed(tmp_path: Path) -> None:
    """Models in a folder: not ready, with the setting to make; made, it serves. Changed later, it counts at once."""
    with GitServer(tmp_path / "repository.git") as server:
        server.push({"models_serve/Model/etls.py": answers("deep"), "other/Model/etls.py": answers("other")})
        with following(tmp_path, server, ready=False) as service:
            until(lambda: "MODELSYNC_GIT_SUBDIR=models_serve" in service.get("/readyz").json()["detail"], 20)
            assert service.get("/readyz").status_code == 503
            assert service.get("/livez").status_code == 200
        for folder, value in (("models_serve", "deep"), ("other", "other")):
            with following(tmp_path, server, MODELSYNC_GIT_SUBDIR=folder) as service:
                answered_by(service, server.git("rev-parse", "main"), value)


# --- other transports -------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not SshGitServer.available(), reason="no openssh-server, or no login shell for this user")
def test_over_ssh_until_the_host_key_is_unknown(tmp_path: Path) -> None:
    """A key file and known hosts: it follows. A host key that is not known is refused until it is."""
    with SshGitServer(tmp_path / "repository.git") as server:
        push(server, 0)
        keys = {
            "MODELSYNC_GIT_SSH_KEY_FILE": str(server.key),
            "MODELSYNC_GIT_KNOWN_HOSTS_FILE": str(server.known_hosts),
        }
        with following(tmp_path, server, **keys) as service:
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
    """A self-signed certificate: not ready, the reason, never insecurely; once it is an authority, it serves."""
    with GitServer(tmp_path / "repository.git", tls=True) as server, GitServer(tmp_path / "x.git", tls=True) as other:
        authorities = tmp_path / "authorities.crt"
        shutil.copy(other.certificate, authorities)
        commit = push(server, 0)
        env = {"GIT_SSL_NO_VERIFY": "1", "GIT_SSL_CAINFO": str(authorities)}
        with following(tmp_path, server, ready=False, **env) as service:
            until(lambda: "certificate" in service.get("/readyz").json()["detail"], 20)
            assert service.lines(event="sync")[0]["reason"] == "untrusted"
            shutil.copy(server.certificate, authorities)
            service.sync()
            answered_by(service, commit, 0)


# --- by hand ----------------------------------------------------------------------------------------------------------


def test_syncs_by_hand_beside_a_running_service(server: GitServer, tmp_path: Path) -> None:
    """Two `modelsync sync` at once: both succeed, the service swaps, and nothing is torn."""
    with following(tmp_path, server) as service:
        commit = push(server, 1)
        settings = {
            "gitPath": server.url,
            "MODELSYNC_GIT_PROTOCOLS": "http",
            "MODELSYNC_HOME": str(service.home),
            **NO_PROXY,
        }
        both = [
            subprocess.Popen(
                [sys.executable, "-m", "modelsync", "sync"],
                cwd=tmp_path, env={**os.environ, **settings},
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )
            for _ in range(2)
        ]  # fmt: skip
        said = sorted(one.communicate(timeout=60)[0].splitlines()[0] for one in both)
        assert said == [f"published: {commit}, 1 models, 0 broken", f"unchanged: {commit}, 1 models, 0 broken"]
        answered_by(service, commit, 1)
        settled(service)
        alone(service)
        assert litter(service) == []
        assert told(service)["in_step"]


def test_old_releases_go_but_none_that_is_in_use(server: GitServer, tmp_path: Path) -> None:
    """A request of an old release is answered by its files, however many pushes come meanwhile; then they go."""
    slow = (
        "import pathlib, time\nclass Model:\n    def __init__(self, folder):\n        self.folder = folder\n"
        "    def transform_predict(self, seconds: float = 0):\n        time.sleep(seconds)\n"
        "        return {'value': pathlib.Path(self.folder, 'value.txt').read_text()}\n"
    )
    first = server.push({"Model/etls.py": slow, "Model/value.txt": "0"})
    with following(tmp_path, server, MODELSYNC_KEEP_RELEASES="2") as service, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(service.post, "Model", {"seconds": 9})
        until(lambda: metric(service, "requests_in_flight", model="Model") == 1)
        pushed = []
        for value in ("1", "2", "3"):
            pushed.append(server.push({"Model/value.txt": value}))
            webhook(service)
            answered_by(service, pushed[-1], value)
        assert (service.home / "releases" / first).is_dir()
        assert not waiting.done()
        answer = waiting.result(30)
        assert (answer.json(), answer.headers["X-Modelsync-Release"]) == ({"value": "0"}, first)
        settled(service)
        sync(service)
        alone(service)
        assert {path.name for path in (service.home / "releases").iterdir()} == set(pushed[-2:])


# --- trees ------------------------------------------------------------------------------------------------------------


def test_hostile_trees_execute_nothing_and_are_named(server: GitServer, tmp_path: Path) -> None:
    """Links out, submodules, hooks, filters, odd names: the offenders are named, the others serve as committed."""
    outside = tmp_path / "outside"
    outside.write_text("secret-of-the-machine")
    marker = tmp_path / "executed"
    run = f"#!/bin/sh\ntouch {marker}\n"
    commit = server.push(
        {
            "Link/etls.py": answers(1, "Link"), "Link/data": link(str(outside)),
            "Climbs/etls.py": answers(1, "Climbs"), "Climbs/up": link("../Model/etls.py"),
            "Sub/etls.py": answers(1, "Sub"), "Sub/library": submodule(), "Whole": submodule(),
            ".gitmodules": f'[submodule "Whole"]\n\tpath = Whole\n\turl = ext::sh -c "touch {marker}"\n',
            "Model/.gitattributes": "*.txt filter=evil export-subst\n*.py text eol=crlf\n",
            "Model/x.txt": "$Format:%H$",
            ".gitattributes": "* filter=evil\n", ".gitconfig": f'[filter "evil"]\n\tsmudge = {marker}\n',
            "hooks/post-checkout": executable(run), ".githooks/post-checkout": executable(run),
            "Odd\nname/etls.py": answers(1), "-rf/etls.py": answers(1), "--upload-pack=x/etls.py": answers(1),
            "Lfs/etls.py": answers(1, "Lfs"),
            "Lfs/model.pkl": "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 1\n",
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
