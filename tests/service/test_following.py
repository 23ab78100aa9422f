"""A push to a real git server changes what runs, unless it does not concern the models."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
import requests

from tests.fixtures.git import GitServer
from tests.fixtures.service import answers
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
from tests.waiting import patient, setting, until

# --- what starts a sync ---------------------------------------------------------------------------


def test_a_push_is_answered_whoever_tells_of_it(server: GitServer, tmp_path: Path) -> None:
    """The new commit answers after each git host's webhook, the admin token and SIGHUP."""
    with following(tmp_path, server) as service:
        answered_by(service, server.git("rev-parse", "main"), 0)
        for value, host in enumerate(("GitHub", "Gitea", "GitLab"), 1):
            commit = push(server, value)
            answer = webhook(service, host)
            assert (answer.status_code, answer.headers["Location"]) == (202, "/models/sync")
            answered_by(service, commit, value)
        commit = push(server, "token")
        assert (
            requests.post(f"{service.base}/sync", headers=ADMIN, timeout=patient(30)).status_code
            == 202
        )
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


@pytest.mark.long
def test_the_schedule_finds_a_push(server: GitServer, tmp_path: Path) -> None:
    """`@every 1s`: nobody has to tell."""
    with following(tmp_path, server, MODELSYNC_SYNC_CRON="@every 1s") as service:
        answered_by(service, push(server, 1), 1)
        until(lambda: told(service)["next"])  # empty for a moment where it is just due


@pytest.mark.long
def test_what_is_told_of_the_next_sync_comes_true(server: GitServer, tmp_path: Path) -> None:
    """`next` stays while it is asked for again and again, and is when a sync starts, jitter and
    retries included.
    """

    def promised() -> datetime:
        return datetime.fromisoformat(told(service)["next"])

    with following(tmp_path, server, MODELSYNC_SYNC_CRON="@every 6s") as service:
        synced(service, 1)
        first = until(promised)
        seen = {first}

        def since() -> list[datetime]:
            """When syncs have ended since then; one may have run when it was promised."""
            seen.add(promised())
            ends = (datetime.fromisoformat(one["time"]) for one in service.lines(event="sync"))
            return [end for end in ends if end >= first]

        end, *_ = until(since, 30)
        assert len(seen) <= 2
        assert end - first < timedelta(seconds=patient(6))
    with following(
        tmp_path, server, MODELSYNC_SYNC_CRON="0 0 1 1 *", TZ="UTC", home=tmp_path / "yearly"
    ) as service:
        until(lambda: promised().strftime("%m-%d %H") == "01-01 00")
        with server.away():
            assert sync(service)["result"] == "error"
            number = len(service.lines(event="sync"))
            soon = until(
                lambda: (
                    found
                    if (found := promised()) - datetime.now(UTC) < timedelta(seconds=6)
                    else None
                ),
                5,
            )
            failed = synced(service, number)[number]
            assert datetime.fromisoformat(failed["time"]) >= soon
        service.sync()
        until(
            lambda: told(service)["in_step"] and promised().strftime("%m-%d %H") == "01-01 00", 60
        )


@pytest.mark.long
def test_nothing_is_fetched_where_nothing_moved(server: GitServer, tmp_path: Path) -> None:
    """A sync for nothing is one `ls-remote`, and no process is replaced."""
    with following(tmp_path, server) as service:
        good = LastGood.of(service)
        before = len(server.requests)
        assert sync(service)["result"] == "unchanged"
        asked = server.requests[before:]
        before = len(server.requests)
        subprocess.run(
            ["git", "ls-remote", server.url, "HEAD"],
            check=True,
            capture_output=True,
            env={**os.environ, **NO_PROXY},
        )
        assert asked == server.requests[before:]
        good.goes_on(service)


@pytest.mark.long
def test_a_commit_beside_the_models_swaps_nothing(server: GitServer, tmp_path: Path) -> None:
    """The same processes go on and the service says that it is in step; the next sync fetches
    nothing again.
    """
    push(server, 0, {"served/Model/etls.py": answers("sub")})
    with following(tmp_path, server, MODELSYNC_GIT_SUBDIR="served") as service:
        good = LastGood.of(service)
        for change in (
            {"README.md": "new"},
            {"Model/etls.py": answers("outside")},
            {"served/README.md": "new"},
        ):
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


@pytest.mark.long
def test_a_thousand_webhooks_are_one_sync_and_one_more(server: GitServer, tmp_path: Path) -> None:
    """Each is answered with 202; what comes during a sync is one more sync afterwards; no
    descriptor is lost.
    """
    with following(tmp_path, server) as service:
        settled(service)
        alone(service)
        syncs, asked = len(service.lines(event="sync")), len(server.requests)
        webhook(service)
        update = until(lambda: update_of(service))
        update.suspend()
        with ThreadPoolExecutor(32) as pool:
            descriptors = [
                _descriptors(one.pid)
                for one in (psutil.Process(service.process.pid), *service.workers())
            ]
            codes = list(pool.map(lambda _: webhook(service).status_code, range(1000)))
        update.resume()
        assert codes == [202] * 1000
        synced(service, syncs + 1)
        alone(service)
        assert len(service.lines(event="sync")) == syncs + 2
        assert len([path for _, path, _ in server.requests[asked:] if "info/refs" in path]) == 2
        after = [psutil.Process(service.process.pid), *service.workers()]
        until(
            lambda: all(
                _descriptors(one.pid) <= old + 1
                for one, old in zip(after, descriptors, strict=True)
            ),
            30,
        )


def _descriptors(pid: int) -> int:
    return psutil.Process(pid).num_fds()


# --- by hand --------------------------------------------------------------------------------------


@pytest.mark.long
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
        said = sorted(one.communicate(timeout=patient(120))[0].splitlines()[0] for one in both)
        assert said == [
            f"published: {commit[:12]}, 1 models, 0 broken",
            f"unchanged: {commit[:12]}, 1 models, 0 broken",
        ]
        answered_by(service, commit, 1)
        settled(service)
        alone(service)
        assert litter(service) == []
        assert told(service)["in_step"]


@pytest.mark.long
def test_old_releases_go_but_none_that_is_in_use(server: GitServer, tmp_path: Path) -> None:
    """A request of an old release is answered by its files, however many pushes come meanwhile;
    then they go.
    """
    slow = (
        "import pathlib, time\nclass Model:\n    def __init__(self, folder):\n"
        "        self.folder = folder\n"
        "    def transform_predict(self, gate: str = ''):\n"
        "        while gate and not pathlib.Path(gate).exists():\n            time.sleep(0.02)\n"
        "        return {'value': pathlib.Path(self.folder, 'value.txt').read_text()}\n"
    )
    first = server.push({"Model/etls.py": slow, "Model/value.txt": "0"})
    with (
        following(
            tmp_path,
            server,
            MODELSYNC_KEEP_RELEASES="2",
            MODELSYNC_PREDICT_TIMEOUT=setting(90),
            MODELSYNC_DRAIN_TIMEOUT=setting(90),
        ) as service,
        ThreadPoolExecutor(1) as pool,
    ):
        waiting = pool.submit(service.post, "Model", {"gate": str(tmp_path / "gate")})
        until(lambda: metric(service, "requests_in_flight", model="Model") == 1)
        pushed = []
        for value in ("1", "2", "3"):
            pushed.append(server.push({"Model/value.txt": value}))
            webhook(service)
            answered_by(service, pushed[-1], value)
        assert (service.home / "releases" / first).is_dir()
        assert not waiting.done()
        (tmp_path / "gate").touch()
        answer = waiting.result(patient(60))
        assert (answer.json(), answer.headers["X-Modelsync-Release"]) == ({"value": "0"}, first)
        settled(service)
        sync(service)
        alone(service)
        assert {path.name for path in (service.home / "releases").iterdir()} == set(pushed[-2:])


# --- what is not served ---------------------------------------------------------------------------

BROKEN = (
    "class Model:\n    def __init__(self):\n        raise RuntimeError('broken')\n"
    + answers(0).split("\n", 1)[1]
)


@pytest.mark.long
def test_a_commit_that_is_rejected(tmp_path: Path) -> None:
    """Policy `reject`: nothing of the commit serves, it is not checked twice; another policy, or a
    fix, is enough.
    """
    with GitServer(tmp_path / "repository.git") as server:
        first = push(server, 0)
        with following(tmp_path, server, MODELSYNC_ON_BROKEN_MODEL="reject") as service:
            good = LastGood.of(service)
            bad = server.push({"Model/etls.py": BROKEN, "Other/etls.py": answers(1, "Other")})
            record = sync(service)
            assert (record["reason"], record["wanted"], record["served"]) == (
                "rejected",
                bad,
                first,
            )
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
