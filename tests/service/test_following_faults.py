"""Whatever happens to the remote or to the state directory meanwhile: the last good release goes
on.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from tests.fixtures.git import GitServer
from tests.fixtures.service import Service
from tests.records import Record
from tests.service.following import (
    LastGood,
    alone,
    answered_by,
    following,
    litter,
    metric,
    push,
    strangers,
    sync,
    told,
)
from tests.waiting import patient, setting, until

pytestmark = pytest.mark.long

PASSWORD = "pass-word/7"
TIMEOUT = patient(4)


@dataclass
class Stage:
    """A service that follows a server which asks for a password, and the file that the password is
    in.
    """

    server: GitServer
    service: Service
    token: Path

    def moved(self, **push_options: object) -> None:
        """Push something newer than what is served, so that there is something to miss."""
        push(self.server, random.random(), **push_options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One service through many faults: it must recover from each before the next."""
    folder = tmp_path_factory.mktemp("stage")
    token = folder / "token"
    token.write_text(PASSWORD)
    with GitServer(folder / "repository.git") as server:
        server.user, server.password = "me", PASSWORD
        push(server, 0)
        env = {
            "usergit": "me",
            "MODELSYNC_GIT_PASSWORD_FILE": str(token),
            "MODELSYNC_SYNC_TIMEOUT": setting(4),
        }
        with following(folder, server, env=env) as service:
            yield Stage(server, service, token)


# --- the remote -----------------------------------------------------------------------------------


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
    try:
        yield
    finally:
        stage.token.write_text("new-one-8\n")


@contextlib.contextmanager
def _token_gone(stage: Stage) -> Iterator[None]:
    content = stage.token.read_text()
    stage.token.unlink()
    try:
        yield
    finally:
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


def _failed(service: Service) -> list[Record]:
    """What the log tells of syncs that have failed."""
    return service.lines(event="sync", result="error")


def _counted(service: Service, reasons: set[str]) -> float:
    return sum(metric(service, "sync_failures_total", reason=reason) for reason in reasons)


def _once_each(records: list[Record]) -> bool:
    """Whether no sync told twice of its failure: the next try comes seconds later."""
    times = [datetime.fromisoformat(record["time"]) for record in records]
    return all(later - earlier > timedelta(seconds=2) for earlier, later in pairwise(times))


@pytest.mark.parametrize("fault", FAULTS)
def test_the_last_good_release_goes_on(stage: Stage, fault: str) -> None:
    """Predictions, probes and processes do not notice; log, metrics and status tell, once; then it
    recovers.
    """
    service, server = stage.service, stage.server
    induce, reasons = FAULTS[fault]
    good = LastGood.of(service)
    alone(service)
    before, errors = _counted(service, reasons), len(_failed(service))
    stage.moved()
    with induce(stage):
        began = time.monotonic()
        record = sync(service)
        assert time.monotonic() - began < TIMEOUT + patient(10)
        good.goes_on(service)
        assert (record["level"], record["result"], record["served"]) == (
            "error",
            "error",
            good.commit,
        )
        assert record["reason"] in reasons
        until(lambda: told(service)["result"] == "failed")
        found = told(service)
        assert (found["served"], found["wanted"]) == (good.commit, record["wanted"])
        assert found["reason"] in reasons
        assert not found["in_step"]
        assert metric(service, "sync_in_step") == 0
        for _ in range(4):  # whichever worker is asked
            until(lambda: _counted(service, reasons) - before == len(_failed(service)) - errors)
        assert _once_each(_failed(service)[errors:])
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
    """During a sync in no argument list, afterwards in no file and no log line, only in the file
    they came from.
    """
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


# --- the state directory --------------------------------------------------------------------------


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


@contextlib.contextmanager
def _read_only(folder: Path) -> Iterator[None]:
    """Nothing can be made or removed in the folder; root needs an attribute of the file system for
    that.
    """
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
