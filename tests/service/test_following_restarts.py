"""A service that follows a repository starts and ends, also while the remote is away, also by `kill
-9`.
"""

from __future__ import annotations

import contextlib
import os
import time
from functools import partial
from pathlib import Path

import psutil
import pytest

from tests.fixtures.git import GitServer
from tests.fixtures.service import Service
from tests.service.following import (
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
from tests.waiting import setting, until

pytestmark = pytest.mark.long


def test_at_first_boot_it_waits_and_says_why(tmp_path: Path) -> None:
    """Remote away, empty, without a model: live, not ready with the reason, no exit; with a model
    it serves.
    """
    with GitServer(tmp_path / "repository.git") as server, contextlib.ExitStack() as stack:
        with server.away():
            service = stack.enter_context(
                following(tmp_path, server, ready=False, MODELSYNC_SYNC_TIMEOUT=setting(4))
            )
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
    """The remote is away: the last release answers, and the reason is told."""
    with GitServer(tmp_path / "repository.git") as server:
        commit = push(server, 0)
        with following(tmp_path, server) as service:
            answered_by(service, commit, 0)
        with (
            server.away(),
            following(tmp_path, server, MODELSYNC_SYNC_TIMEOUT=setting(4)) as service,
        ):
            answered_by(service, commit, 0)
            record = synced(service, 0)[0]
            assert record["reason"] in {"unreachable", "timeout"}
            assert record["served"] == commit
            assert service.get("/readyz").status_code == 200
            alone(service)


# --- ends -----------------------------------------------------------------------------------------


def test_a_sync_that_hangs_does_not_keep_the_service_from_ending(tmp_path: Path) -> None:
    """SIGTERM during a sync: exit 0, and neither git nor an update outlives the service."""
    with GitServer(tmp_path / "repository.git") as server:
        push(server, 0)
        with following(tmp_path, server, MODELSYNC_SYNC_TIMEOUT=setting(60)) as service:
            server.fault = "hang"
            service.sync()
            until(lambda: any("ls-remote" in one for one in strangers(service)))
            assert service.stop() == 0
            left = [
                path
                for path in Path("/proc").glob("[0-9]*/environ")
                if _mentions(path, service.home)
            ]
            assert left == []


def _mentions(path: Path, home: Path) -> bool:
    with contextlib.suppress(OSError):
        return str(home).encode() in path.read_bytes()
    return False


def test_updates_that_are_killed(tmp_path: Path) -> None:
    """`kill -9` of the update at any moment: the old or the new release answers, it is told, the
    next one heals.
    """
    with GitServer(tmp_path / "repository.git") as server:
        push(server, 0)
        with following(tmp_path, server) as service:
            known: dict[str, object] = {
                server.git("rev-parse", "main"): 0,
                push(server, "timed"): "timed",
            }
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


def _writes_or_has_ended(service: Service, update: psutil.Process) -> bool:
    """Whether an update has begun to write a release, or is over already."""
    return any((service.home / "releases").glob(".staging-*")) or not update.is_running()


def test_a_service_that_is_killed(tmp_path: Path) -> None:
    """`kill -9` of the supervisor in mid-sync: the next start serves the old or the new release,
    and heals.
    """
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
                if value == 2:  # not before it writes a release
                    until(partial(_writes_or_has_ended, service, update))
                family = [
                    psutil.Process(service.process.pid),
                    *psutil.Process(service.process.pid).children(True),
                ]
                for one in family:
                    with contextlib.suppress(psutil.Error):
                        one.kill()
                service.process.wait()
        with following(tmp_path, server) as service:
            answered_by(service, commit, value)
            settled(service)
            alone(service)
            assert litter(service) == []
