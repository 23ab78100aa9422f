"""Whatever happens to the remote, to the state directory or to the update: the last good release goes on."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.servers.git import GitServer
from tests.servers.service import Service, answers
from tests.service.following import (
    NO_PROXY,
    LastGood,
    alone,
    answered_by,
    following,
    litter,
    metric,
    push,
    settled,
    strangers,
    sync,
    synced,
    told,
    update_of,
)
from tests.waiting import until

PASSWORD = "pass-word/7"
TIMEOUT = 3.0
BROKEN = "class Model:\n    def __init__(self):\n        raise RuntimeError('broken')\n" + answers(0).split("\n", 1)[1]


@dataclass
class Stage:
    """A service that follows a server which asks for a password, and the file that the password is in."""

    server: GitServer
    service: Service
    token: Path

    def moved(self, **push_options: object) -> None:
        """Push something newer than what is served, so that there is something to miss."""
        push(self.server, random.random(), **push_options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One service through many faults: that it recovers from each of them is part of the promise."""
    folder = tmp_path_factory.mktemp("stage")
    token = folder / "token"
    token.write_text(PASSWORD)
    with GitServer(folder / "repository.git") as server:
        server.user, server.password = "me", PASSWORD
        push(server, 0)
        env = {"usergit": "me", "MODELSYNC_GIT_PASSWORD_FILE": str(token), "MODELSYNC_SYNC_TIMEOUT": f"{TIMEOUT}s"}
        with following(folder, server, **env) as service:
            yield Stage(server, service, token)


# --- the remote -------------------------------------------------------------------------------------------------------


def _answering(fault: str) -> Callable[[Stage], AbstractContextManager[None]]:
    @contextlib.contextmanager
    def faulty(stage: Stage) -> Iterator[None]:
        stage.server.fault = fault  # type: ignore[assignment]
        try:
            yield
        finally:
            stage.server.fault = ""

    return faulty


@contextlib.contextmanager
def _revoked(stage: Stage) -> Iterator[None]:
    """The token was revoked; then the mounted file holds a new one."""
    stage.server.password = "new-one-8"
    yield
    stage.token.write_text("new-one-8\n")


@contextlib.contextmanager
def _token_gone(stage: Stage) -> Iterator[None]:
    content = stage.token.read_text()
    stage.token.unlink()
    yield
    stage.token.write_text(content)


@contextlib.contextmanager
def _branch_deleted(stage: Stage) -> Iterator[None]:
    stage.server.git("update-ref", "-d", "refs/heads/main")
    yield


@contextlib.contextmanager
def _models_removed(stage: Stage) -> Iterator[None]:
    stage.server.push({"Model/etls.py": None, "README.md": "all gone"})
    yield


@contextlib.contextmanager
def _emptied(stage: Stage) -> Iterator[None]:
    stage.server.push({"README.md": None, "Model/etls.py": None, "x": None}, onto=None)
    yield


FAULTS: dict[str, tuple[Callable[[Stage], AbstractContextManager[None]], set[str]]] = {
    "refused": (lambda stage: stage.server.away(), {"unreachable"}),
    "hangs after accept": (_answering("hang"), {"timeout", "unreachable"}),
    "trickles": (_answering("trickle"), {"timeout", "unreachable"}),
    "resets": (_answering("reset"), {"unreachable"}),
    "503": (_answering("503"), {"unreachable"}),
    "403": (_answering("403"), {"auth"}),
    "token revoked, then rotated": (_revoked, {"auth"}),
    "token file gone": (_token_gone, {"auth"}),
    "branch deleted": (_branch_deleted, {"ref"}),
    "all models removed": (_models_removed, {"no_models"}),
    "emptied": (_emptied, {"no_models"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_last_good_release_goes_on(stage: Stage, fault: str) -> None:
    """Predictions, probes and processes do not notice; log, metrics and status tell, once; then it recovers."""
    service, server = stage.service, stage.server
    induce, reasons = FAULTS[fault]
    good = LastGood.of(service)
    alone(service)
    before = {reason: metric(service, "sync_failures_total", reason=reason) for reason in reasons}
    errors = len(service.lines(event="sync", result="error"))
    stage.moved()
    with induce(stage):
        began = time.monotonic()
        record = sync(service)
        assert time.monotonic() - began < TIMEOUT + 10
        good.goes_on(service)
        assert len(service.lines(event="sync", result="error")) == errors + 1
        assert (record["level"], record["result"], record["served"]) == ("error", "error", good.commit)
        assert record["reason"] in reasons
        assert record["wanted"]
        until(lambda: told(service)["result"] == "failed")
        assert (told(service)["reason"], told(service)["served"]) == (record["reason"], good.commit)
        for _ in range(4):  # whichever worker is asked
            counted = {reason: metric(service, "sync_failures_total", reason=reason) for reason in reasons}
            assert sum(counted.values()) == sum(before.values()) + 1
        alone(service)
        assert litter(service) == []
        assert "Traceback" not in service.log.read_text()
    value = f"after {fault}"
    commit = push(server, value)
    service.sync()
    answered_by(service, commit, value)
    assert told(service)["reason"] is None
    assert PASSWORD not in service.log.read_text()
    assert "new-one-8" not in service.log.read_text()


def test_it_recovers_by_itself(stage: Stage) -> None:
    """Nobody asks again: the next try comes, and finds that the fault has gone."""
    stage.server.fault = "403"
    sync(stage.service)
    stage.server.fault = ""
    answered_by(stage.service, push(stage.server, "by itself"), "by itself")


def test_secrets_are_seen_nowhere(stage: Stage) -> None:
    """During a sync in no argument list, afterwards in no file and no log line, only in the file they came from."""
    secrets = [stage.token.read_bytes().strip(), b"webhook-secret-5", b"admin-token-6"]
    stage.moved()
    with _answering("hang")(stage):
        stage.service.sync()
        until(lambda: any("remote-http" in one for one in strangers(stage.service)))
        seen = b"\n".join(_command_lines())
        assert b"ls-remote" in seen
    answered_by(stage.service, push(stage.server, "seen"), "seen")
    alone(stage.service)
    found = [seen, stage.service.log.read_bytes()]
    found += [path.read_bytes() for path in stage.service.home.rglob("*") if path.is_file()]
    assert not [secret for secret in secrets for text in found if secret in text]


def _command_lines() -> Iterator[bytes]:
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield path.read_bytes()


@pytest.mark.parametrize("damage", ["objects gone", "garbage", "locks"])
def test_a_damaged_mirror_is_made_anew(stage: Stage, damage: str) -> None:
    """Nobody notices but the log."""
    good = LastGood.of(stage.service)
    mirror = stage.service.home / "repo.git"
    match damage:
        case "objects gone":
            shutil.rmtree(mirror / "objects")
        case "garbage":
            for path in (mirror / "HEAD", mirror / "config"):
                path.write_bytes(b"\0garbage")
        case "locks":
            for name in ("HEAD.lock", "config.lock", "shallow.lock", "packed-refs.lock"):
                (mirror / name).touch()
    good.goes_on(stage.service)
    commit = push(stage.server, damage)
    stage.service.sync()
    answered_by(stage.service, commit, damage)
    alone(stage.service)
    assert litter(stage.service) == []


def test_a_sync_that_hangs_does_not_keep_the_service_from_ending(tmp_path: Path) -> None:
    """SIGTERM during a sync: exit 0, and neither git nor an update outlives the service."""
    with GitServer(tmp_path / "repository.git") as server:
        push(server, 0)
        with following(tmp_path, server, MODELSYNC_SYNC_TIMEOUT="60s") as service:
            server.fault = "hang"
            service.sync()
            until(lambda: any("ls-remote" in one for one in strangers(service)))
            assert service.stop() == 0
            left = [path for path in Path("/proc").glob("[0-9]*/environ") if _mentions(path, service.home)]
            assert left == []


def _mentions(path: Path, home: Path) -> bool:
    with contextlib.suppress(OSError):
        return str(home).encode() in path.read_bytes()
    return False


# --- the first boot, and the next -------------------------------------------------------------------------------------


def test_at_first_boot_it_waits_and_says_why(tmp_path: Path) -> None:
    """Remote away, empty, without a model: live, not ready with the reason, no exit; with a model it serves."""
    with GitServer(tmp_path / "repository.git") as server, contextlib.ExitStack() as stack:
        with server.away():
            service = stack.enter_context(following(tmp_path, server, ready=False, MODELSYNC_SYNC_TIMEOUT="2s"))
            _waits(service, "cannot be reached")
        sync(service)
        _waits(service, "is empty")
        server.push({"README.md": "hello"})
        sync(service)
        _waits(service, "no model folder")
        commit = push(server, "first")
        service.sync()
        answered_by(service, commit, "first")
        assert service.get("/readyz").status_code == 200


def _waits(service: Service, reason: str) -> None:
    until(lambda: reason in service.get("/readyz").json()["detail"], 20)
    assert service.get("/readyz").status_code == 503
    assert service.get("/livez").status_code == 200
    assert service.post("Model").status_code in {404, 503}
    assert told(service)["result"] == "failed"


def test_a_restart_without_the_remote_serves_at_once(tmp_path: Path) -> None:
    """The remote is away, or even its name unknown: the last release answers, and the reason is told."""
    with GitServer(tmp_path / "repository.git") as server:
        commit = push(server, 0)
        with following(tmp_path, server) as service:
            answered_by(service, commit, 0)
        for away, url in ((server.away(), server.url), (contextlib.nullcontext(), "https://nowhere.invalid/x.git")):
            with away, following(tmp_path, server, gitPath=url, MODELSYNC_SYNC_TIMEOUT="2s") as service:
                answered_by(service, commit, 0)
                record = synced(service, 0)[0]
                assert record["reason"] in {"unreachable", "timeout"}
                assert record["served"] == commit
                assert service.get("/readyz").status_code == 200
                alone(service)


# --- the disk ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("this user may not mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(tmp_path: Path, disk: Path) -> None:
    """A release that does not fit, a disk without a byte left: LG, also where a worker is replaced; no half release."""
    with GitServer(tmp_path / "repository.git") as server:
        push(server, 0)
        with following(tmp_path, server, home=disk / "home") as service:
            good = LastGood.of(service)
            push(server, 1, {"Model/weights.bin": os.urandom(3_000_000)})
            assert sync(service)["reason"] == "storage"
            good.goes_on(service)
            assert told(service)["reason"] == "storage"
            assert metric(service, "sync_failures_total", reason="storage") == 1
            assert litter(service) == []
            push(server, 2, {"Model/weights.bin": b"\0" * 3_000_000})  # small as a pack, too large as a file
            assert sync(service)["reason"] == "storage"
            good.goes_on(service)
            alone(service)
            assert litter(service) == []
            push(server, 3, {"Model/weights.bin": None})
            service.sync()
            answered_by(service, server.git("rev-parse", "main"), 3)

            good = LastGood.of(service)
            alone(service)
            commit = push(server, 4)
            with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
                while filler.write(b"x" * 512):
                    pass
            assert sync(service)["reason"] == "storage"
            good.goes_on(service)
            until(lambda: told(service)["reason"] == "storage")
            assert metric(service, "sync_failures_total", reason="storage") == 3
            service.workers()[0].kill()
            until(lambda: len(settled(service) - good.pids) == 1, message="the killed worker is replaced")
            for _ in range(10):
                assert service.post("Model").json() == {"value": 3}
            (disk / "filler").unlink()
            service.sync()
            answered_by(service, commit, 4)
            settled(service)
            alone(service)
            assert litter(service) == []


def test_counting_on_a_full_disk(disk: Path) -> None:
    """A worker that starts there, or calls a model for the first time, goes on without counting: no SIGBUS."""
    program = (
        "import sys, pathlib\nfrom modelsync.telemetry import Counters, retire\n"
        "names = [str(n) for n in range(5000)]\ncounters = Counters(pathlib.Path(sys.argv[1]), names)\n"
        "[counters.observe(name, 200, 0.1) for name in names]\nretire(pathlib.Path(sys.argv[1]), 1)\nprint('counted')"
    )
    (disk / "filler").write_bytes(b"x" * 1_500_000)
    done = subprocess.run(
        [sys.executable, "-c", program, str(disk)], cwd=disk, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "counted\n"), done.stderr


@contextlib.contextmanager
def _read_only(folder: Path) -> Iterator[None]:
    """Nothing can be made or removed in the folder; root needs an attribute of the file system for that."""
    if os.geteuid():
        folder.chmod(0o500)
    elif subprocess.run(["chattr", "+i", str(folder)], capture_output=True, check=False).returncode:
        pytest.skip("this file system knows no immutable folders")
    try:
        yield
    finally:
        if os.geteuid():
            folder.chmod(0o700)
        else:
            subprocess.run(["chattr", "-i", str(folder)], check=True)


@pytest.mark.parametrize("part", [".", "releases"])
def test_a_state_directory_that_cannot_be_written(stage: Stage, part: str) -> None:
    """LG with reason `storage`; once it can be written again, the next try succeeds."""
    service = stage.service
    good = LastGood.of(service)
    alone(service)
    commit = push(stage.server, f"writable {part}")
    with _read_only(service.home / part):
        record = sync(service)
        assert (record["reason"], record["served"]) == ("storage", told(service)["served"])
        good.goes_on(service)
        until(lambda: told(service)["reason"] == "storage")
        alone(service)
    service.sync()
    answered_by(service, commit, f"writable {part}")
    alone(service)
    assert litter(service) == []


# --- the policy -------------------------------------------------------------------------------------------------------


def test_a_commit_that_is_rejected(tmp_path: Path) -> None:
    """Policy `reject`: nothing of the commit serves, it is not checked twice; another policy, or a fix, is enough."""
    with GitServer(tmp_path / "repository.git") as server:
        first = push(server, 0)
        with following(tmp_path, server, MODELSYNC_ON_BROKEN_MODEL="reject") as service:
            good = LastGood.of(service)
            bad = server.push({"Model/etls.py": BROKEN, "Other/etls.py": answers(1, "Other")})
            record = sync(service)
            assert (record["reason"], record["wanted"], record["served"]) == ("rejected", bad, first)
            good.goes_on(service)
            assert service.post("Other").status_code == 404
            found = told(service)
            assert (found["reason"], found["wanted"], found["served"], found["in_step"]) == (
                "rejected",
                bad,
                first,
                False,
            )
            assert "broken" in found["message"]
            assert metric(service, "sync_failures_total", reason="rejected") == 1
            broken = len(service.lines(event="model_broken"))
            assert sync(service)["reason"] == "rejected"
            assert len(service.lines(event="model_broken")) == broken
            good.goes_on(service)
        with following(tmp_path, server) as service:
            until(lambda: service.post("Other").status_code == 200)
            assert service.post("Model").json() == {"value": 0}
            fixed = push(server, 1)
            service.sync()
            answered_by(service, fixed, 1)


# --- kills ------------------------------------------------------------------------------------------------------------


def test_updates_that_are_killed(tmp_path: Path) -> None:
    """`kill -9` of the update at any moment: the old or the new release answers, it is told, the next one heals."""
    with GitServer(tmp_path / "repository.git") as server:
        push(server, 0)
        with following(tmp_path, server) as service:
            known: dict[str, object] = {server.git("rev-parse", "main"): 0, push(server, "timed"): "timed"}
            alone(service)
            service.sync()
            update, began = until(lambda: update_of(service)), time.monotonic()
            update.wait()
            took = time.monotonic() - began
            for value in range(6):
                alone(service)
                known[push(server, value, {"Model/data.bin": os.urandom(100_000)})] = value
                service.sync()
                update = until(lambda: update_of(service))
                with contextlib.suppress(psutil.Error):
                    update.wait(took * (value + 0.5) / 6)
                with contextlib.suppress(psutil.Error):
                    update.kill()
                answer = service.post("Model")
                assert known[answer.headers["X-Modelsync-Release"]] == answer.json()["value"]
            until(lambda: metric(service, "sync_failures_total", reason="died") >= 2)
            died = service.lines(event="sync", reason="died")
            assert "SIGKILL" in died[0]["message"]
            commit = push(server, "healed")
            service.sync()
            answered_by(service, commit, "healed")
            settled(service)
            sync(service)
            alone(service)
            assert litter(service) == []
            assert len(list((service.home / "releases").iterdir())) <= 3


def test_a_service_that_is_killed(tmp_path: Path) -> None:
    """`kill -9` of the supervisor in mid-sync: the next start serves the old or the new release, and heals."""
    with GitServer(tmp_path / "repository.git") as server:
        known = {push(server, 0): 0}
        for value in (1, 2):
            with following(tmp_path, server) as service:
                answer = service.post("Model")
                assert known[answer.headers["X-Modelsync-Release"]] == answer.json()["value"]
                commit = push(server, value, {"Model/data.bin": os.urandom(100_000)})
                known[commit] = value
                synced(service, 0)
                alone(service)
                service.sync()
                update = until(lambda: update_of(service))
                with contextlib.suppress(psutil.Error):
                    update.wait(0.4 * value)
                family = [psutil.Process(service.process.pid), *psutil.Process(service.process.pid).children(True)]
                for one in family:
                    with contextlib.suppress(psutil.Error):
                        one.kill()
                service.process.wait()
        with following(tmp_path, server) as service:
            answered_by(service, commit, value)
            settled(service)
            alone(service)
            assert litter(service) == []


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% /tmp/pwned", "ext::sh-c", "--upload-pack=touch /tmp/pwned", "--upload-pack=x",
        "https://me:hunter2@host.example/x.git", "https://hunter2@host.example/x.git", "file:///hunter2/x.git",
        "/hunter2/x.git", "http://host.example/x.git", "ssh://-oProxyCommand=hunter2/x", "fd::17",
    ],
)  # fmt: skip
def test_a_url_that_is_not_allowed_ends_the_start(tmp_path: Path, url: str) -> None:
    """Exit code 2 and one line, without what may be secret; no state directory is made."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MODELSYNC_", "git"))}
    for command in ("serve", "sync"):
        done = subprocess.run(
            [sys.executable, "-m", "modelsync", command],
            cwd=tmp_path, env={**clean, "gitPath": url, "MODELSYNC_PORT": "0", **NO_PROXY},
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("modelsync: gitPath ")
        assert len(done.stderr.splitlines()) == 1
        assert "hunter2" not in done.stderr
        assert "touch" not in done.stderr
        assert not (tmp_path / ".modelsync").exists()
