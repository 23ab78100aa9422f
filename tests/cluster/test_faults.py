"""What happens to a cluster on a bad day, and what clients see of it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import requests

from tests.cluster.cluster import Cluster, Namespace
from tests.cluster.shop import NAME, Shop, figure, shop, within
from tests.fixtures.git import GitServer
from tests.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1500)]


# --- pods -----------------------------------------------------------------------------------------


def test_a_pod_is_deleted(store: Shop) -> None:
    """Another one takes its place, on the same commit; clients see no failure."""
    commit, (first, _) = store.pin, sorted(store.names())
    store.push("not rolled out")
    with store.under_load() as tally:
        until(lambda: tally.answered > 100, 30)
        store.namespace.kubectl("delete", "pod", first)
        seconds = within(90, lambda: first not in store.names() and store.everywhere(commit))
    assert tally.failures == []
    figure(
        f"a pod deleted: whole again after {seconds:.0f} s, 0 of {tally.answered} requests failed"
    )


def test_a_pod_is_killed(store: Shop) -> None:
    """Without a word of warning: what it was answering is lost, another takes its place, then
    nothing fails.
    """
    commit, (first, _) = store.pin, sorted(store.names())
    with store.under_load() as tally:
        until(lambda: tally.answered > 100, 30)
        store.namespace.kubectl("delete", "pod", first, "--grace-period=0", "--force")
        seconds = within(90, lambda: first not in store.names() and store.everywhere(commit))
        lost, answered = len(tally.failures), tally.answered
        until(lambda: tally.answered > answered + 500, 60)
        assert len(tally.failures) == lost
    figure(
        f"a pod killed: whole again after {seconds:.0f} s; {lost} of {tally.answered} requests "
        "failed"
    )


def _restarts(store: Shop, name: str) -> int:
    (pod,) = store.namespace.get("pods", name)
    return sum(status["restartCount"] for status in pod["status"]["containerStatuses"])


# --- the repository -------------------------------------------------------------------------------


def test_the_git_server_is_killed_in_mid_rollout(store: Shop) -> None:
    """The new pods cannot fetch and stay unready, the old ones answer, nobody is blamed; then it
    goes on.
    """
    good = store.pin
    commit = store.push(1)
    with store.under_load() as tally:
        job = store.start()
        until(lambda: store.pin == commit, 120)
        with store.git.away():
            ended = store.end(job)
            assert (ended.code, ended.lines(result="unknown")[0]["reason"]) == (
                75,
                "unreachable",
            ), ended.log
            assert (store.pin, store.state["good"], "rejected" in store.state) == (
                commit,
                good,
                False,
            )
            again = store.start()  # a run that finds no repository at all
            until(lambda: "cannot be reached" in store.log(again), 60)
            store.namespace.kubectl("delete", "job", again)
            answer = store.ask()
            assert answer.headers["X-Modelsync-Release"] == good
        started = time.monotonic()
        until(lambda: _rolled_out(store, commit), 480, "the pods have tried again")
        seconds = time.monotonic() - started
    assert tally.failures == []
    figure(
        f"git away in mid-rollout: done {seconds:.0f} s after it was back, 0 of {tally.answered} "
        "requests failed"
    )


def _rolled_out(store: Shop, commit: str) -> bool:
    job = store.roll_out()
    assert job.code in {0, 75}, job.log
    return store.state["good"] == commit and store.everywhere(commit)


def test_a_new_pod_without_git_says_why(store: Shop) -> None:
    """Without a cache it lives, is unready with the reason, and is ready once the repository is
    back.
    """
    commit = store.pin
    with store.git.away():
        store.scale(3)
        new = until(lambda: store.names() - store.ready(), 60).pop()
        address = until(lambda: store.namespace.get("pods", new)[0]["status"].get("podIP"), 60)
        reason = until(lambda: _unready(address, "cannot be reached"), 90)
        assert store.ready()
        assert store.ask().ok
    seconds = within(330, lambda: store.everywhere(commit, 3))
    assert _restarts(store, new) == 0
    figure(f"unready with {reason!r}; ready {seconds:.0f} s after git was back")


def _unready(address: str, words: str) -> str:
    answer = requests.get(f"http://{address}:8080/readyz", timeout=5)
    assert answer.status_code == 503
    detail = str(answer.json()["detail"])
    assert words in detail
    return detail


def test_a_new_pod_starts_from_the_cache(
    cluster: Cluster, namespace: Namespace, image: str, git: GitServer, tmp_path: Path
) -> None:
    """A new pod serves the pinned commit from the volume while the git server is away."""
    cluster.volume(f"cache-{namespace.name}")
    with shop(cluster, namespace, image, git, tmp_path, cache={"enabled": True}) as store:
        commit = store.push(1)
        assert store.roll_out().code == 0
        with git.away():
            store.scale(4)
            seconds = within(120, lambda: store.everywhere(commit, 4))
        figure(f"two pods more from the cache, without git: {seconds:.0f} s")
    namespace.helm("uninstall", "shop", "--wait")
    cluster.kubectl("delete", "persistentvolume", f"cache-{namespace.name}", "--wait=false")


# --- the control plane and the job ----------------------------------------------------------------


@pytest.mark.alone
def test_the_api_server_is_stopped_in_mid_rollout(store: Shop) -> None:
    """Pods answer meanwhile; the job waits for it and brings the rollout to its end."""
    if not store.cluster.can_stop_api_server:
        pytest.skip("this cluster's API server is not ours to stop")
    commit = store.push(1)
    with store.under_load() as tally:
        job = store.start()
        until(lambda: store.pin == commit, 120)
        with store.cluster.without_api_server():
            answered = tally.answered
            until(lambda: tally.answered > answered + 1000, 60)
        ended = store.end(job)
        assert ended.code == 0, ended.log
        assert "trying again" in ended.log
        until(lambda: store.everywhere(commit), 60)
    assert tally.failures == []
    assert store.state["good"] == commit
    figure(f"API server away in mid-rollout: rolled out {ended.seconds:.0f} s after it was back; "
           f"0 of {tally.answered} requests failed")  # fmt: skip


def test_two_jobs_at_once(store: Shop) -> None:
    """One rolls out, the other sees it: the pods are replaced once, each Event is there once."""
    commit = store.push(1)
    generation = store.deployment["metadata"]["generation"]
    jobs = [store.start(), store.start()]
    assert [store.end(job).code for job in jobs] == [0, 0]
    assert store.everywhere(commit)
    assert store.deployment["metadata"]["generation"] == generation + 1
    assert (
        len(store.events("RolloutStarted", commit[:12]))
        == len(store.events("RolloutComplete", commit[:12]))
        == 1
    )
    bad = store.git.push({"Model/etls.py": "def broken(:\n"})
    jobs = [store.start(), store.start()]
    assert {store.end(job).code for job in jobs} <= {0, 1}
    assert (store.pin, store.state["rejected"]) == (commit, bad)
    assert len(store.events("RolloutRejected", bad[:12])) == 1


def test_a_job_is_killed_in_mid_rollout(store: Shop) -> None:
    """The pods get ready without it, and the next job writes down that they did."""
    good = store.pin
    commit = store.push(1)
    with store.under_load() as tally:
        job = store.start()
        until(lambda: store.pin == commit, 120)
        store.namespace.kubectl("delete", "job", job, "--grace-period=0", "--force")
        assert store.state["good"] == good
        store.namespace.ready(NAME)
        assert store.roll_out().code == 0
        assert store.everywhere(commit)
    assert (store.state["good"], tally.failures) == (commit, [])
