"""From a push to an answer in every pod, and what a bad push does not do: on a real cluster,
through a real nginx.
"""

from __future__ import annotations

import json
import os
import time
from functools import partial
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster, Namespace
from tests.cluster.shop import NAME, VALUES, Shop, figure, shop, within
from tests.fixtures.git import Files, GitServer
from tests.fixtures.service import answers
from tests.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]

ROLLOUTS = int(os.environ.get("MODELSYNC_TEST_ROLLOUTS", "20"))
DRAINS = int(os.environ.get("MODELSYNC_TEST_DRAINS", "5"))
BAD_COMMITS = int(os.environ.get("MODELSYNC_TEST_BAD_COMMITS", "10"))  # at most, of each kind
SOON = {"progressDeadlineSeconds": 30}


def test_a_push_becomes_answers_in_every_pod(store: Shop) -> None:
    """One job, and all pods answer with the new commit and no other; Events tell it; a second job
    has nothing to do.
    """
    started = time.monotonic()
    commit = store.push(1)
    job = store.roll_out()
    assert job.code == 0, job.log
    seconds = time.monotonic() - started
    assert store.everywhere(commit)
    until(
        lambda: store.ask().headers["X-Modelsync-Release"] == commit,
        20,
        "the last old pod has drained",
    )
    assert store.ask().json() == {"value": 1}
    assert store.state == {"revision": commit, "good": commit, "time": store.state["time"]}
    assert store.events("RolloutStarted", commit[:12])
    assert store.events("RolloutComplete", commit[:12])
    pods = store.names()
    again = store.roll_out()
    assert (again.code, store.names()) == (0, pods)
    assert "modelsync rollout: " + commit[:12] in store.namespace.kubectl(
        "rollout", "history", f"deployment/{NAME}"
    )
    figure(
        f"{seconds:.0f} s from the push to {len(pods)} pods on it; a job with nothing to do: "
        f"{again.seconds:.0f} s"
    )


@pytest.mark.smoke
def test_rollouts_under_load(store: Shop) -> None:
    """Keep-alive clients of nginx see no failure, and no answer that mixes two commits."""
    with store.under_load() as tally:
        until(lambda: tally.answered > 100, 30)
        started = time.monotonic()
        for number in range(1, ROLLOUTS + 1):
            commit = store.push(number)
            job = store.roll_out()
            assert job.code == 0, job.log
            assert store.pin == commit
            assert tally.failures == [], (number, tally.failures[:5])
        seconds = time.monotonic() - started
    assert tally.failures == []
    figure(
        f"{ROLLOUTS} rollouts of 2 pods in {seconds:.0f} s: 0 of {tally.answered} requests failed, "
        f"{tally.reconnected} connections closed in good order"
    )


@pytest.mark.alone
def test_drains_under_load(store: Shop) -> None:
    """A node's pods go elsewhere, and clients see no failure."""
    assert len(store.cluster.nodes) > 1
    with store.under_load() as tally:
        until(lambda: tally.answered > 100, 30)
        started = time.monotonic()
        for number in range(DRAINS):
            node = store.cluster.nodes[number % len(store.cluster.nodes)]
            moved = [pod for pod in store.pods() if pod["spec"]["nodeName"] == node]
            if not moved:  # so that each drain has something to move
                store.namespace.kubectl("delete", "pod", sorted(store.names())[0])
            with store.cluster.drained(node):
                until(lambda: len(store.ready()) == 2, 120, "two pods are ready elsewhere")
            assert tally.failures == [], (number, tally.failures[:5])
        seconds = time.monotonic() - started
    assert tally.failures == []
    figure(f"{DRAINS} drains in {seconds:.0f} s: 0 of {tally.answered} requests failed")


# --- bad commits ----------------------------------------------------------------------------------

_MODEL = answers("bad")
_IN_A_POD = "import pathlib\nif not pathlib.Path('/var/run/secrets/kubernetes.io').exists():\n    "

CHECKED: dict[str, Files] = {
    "a syntax error": {"Model/etls.py": "def broken(:\n"},
    "an import that fails": {"Model/etls.py": f"import nothing_like_it\n{_MODEL}"},
    "an exception at import": {"Model/etls.py": f"raise RuntimeError('no licence')\n{_MODEL}"},
    "an example that fails": {
        "Model/etls.py": _MODEL,
        "Model/examples/happy.json": '{"variables": {}, "response": {"value": "good"}}',
    },
    "a crash at import": {"Model/etls.py": f"import ctypes\nctypes.string_at(0)\n{_MODEL}"},
    "no model at all": {"Model/etls.py": None, "README.md": "empty"},
}
"""What the job's check finds; the model is a new file each time, so nothing is known of it."""

PASSING: dict[str, Files] = {
    "an import that takes too long": {"Model/etls.py": f"while True:\n    pass\n{_MODEL}"},
}
"""What the job's check finds, and what may pass: it is checked again later."""

UNSEEN: dict[str, Files] = {
    "a model that fails in a pod only": {
        "Model/etls.py": f"{_IN_A_POD}raise RuntimeError('not here')\n{_MODEL}"
    },
    "a model that hangs in a pod only": {
        "Model/etls.py": f"{_IN_A_POD}import time; time.sleep(3600)\n{_MODEL}"
    },
    "a model that eats a pod's memory": {
        "Model/etls.py": f"{_IN_A_POD}ballast = b'x' * (3 << 30)\n{_MODEL}"
    },
}
"""What passes the check of the job, which has a service account's token, and not that of a pod,
which has none.
"""


def chosen(commits: dict[str, Files]) -> list[tuple[str, Files]]:
    """The first of them, as many as MODELSYNC_TEST_BAD_COMMITS says."""
    return list(commits.items())[:BAD_COMMITS]


@pytest.mark.smoke
def test_ten_bad_commits(store: Shop) -> None:
    """The old pods answer every request; each commit is marked with the reason, and left alone from
    then on.
    """
    usual = dict(VALUES["lifecycle"])
    store.upgrade(lifecycle=usual | SOON)  # which three of them are waited for
    base = store.push("good")
    assert store.roll_out().code == 0
    good, pods = store.pin, store.names()
    with store.under_load() as tally:
        for name, files in (*chosen(CHECKED), *chosen(UNSEEN)):
            bad = store.git.push(files, onto=base)
            job = store.roll_out()
            assert job.code == 1, (name, job.log)
            reason = "check" if name in CHECKED else "deadline"
            assert (store.state["rejected"], store.state["reason"]) == (bad, reason), (
                name,
                store.state,
            )
            assert (store.pin, store.state["good"]) == (good, good), name
            event = "RolloutRejected" if name in CHECKED else "RolloutRolledBack"
            told = until(partial(store.events, event, bad[:12]), 10)
            again = store.roll_out()
            assert (again.code, again.lines(result="checking")) == (0, []), (name, again.log)
            until(lambda: store.names() == pods, 90, "the pods of the bad commit are gone")
            assert tally.failures == [], (name, tally.failures[:5])
            figure(f"{name}: {job.seconds:.0f} s; {told[0][:160]}")
        for name, files in chosen(PASSING):
            late = store.git.push(files, onto=base)
            assert store.roll_out().code == 75, name
            assert (store.state["rejected"], store.state["tries"]) == (late, "1"), name
            assert store.state["retry"], name
            assert (store.pin, store.state["good"]) == (good, good), name
    assert (tally.failures, store.names()) == ([], pods)
    bad_commits = sum(len(chosen(kind)) for kind in (CHECKED, UNSEEN, PASSING))
    figure(f"{bad_commits} bad commits: 2 pods answered {tally.answered} requests, 0 failed")
    store.upgrade(lifecycle=usual)
    mended = store.push("mended")
    assert store.roll_out().code == 0
    assert store.everywhere(mended)


# --- people ---------------------------------------------------------------------------------------


@pytest.mark.smoke
def test_an_undo_by_hand_stands(store: Shop) -> None:
    """`kubectl rollout undo` brings the commit before; no job brings the undone one again; the next
    commit comes.
    """
    good = store.pin
    bad = store.push(1)
    assert store.roll_out().code == 0
    with store.under_load() as tally:
        store.namespace.kubectl("rollout", "undo", f"deployment/{NAME}")
        store.namespace.ready(NAME)
        for _ in range(2):
            job = store.roll_out()
            assert (job.code, store.pin) == (0, good), job.log
    assert tally.failures == []
    assert (store.state["rejected"], store.state["reason"], store.state["good"]) == (
        bad,
        "undone",
        good,
    )
    assert len(store.events("RolloutUndone", bad[:12])) == 1
    assert store.everywhere(good)
    newer = store.push(2)
    assert store.roll_out().code == 0
    assert store.everywhere(newer)


def test_a_short_hash_that_is_pinned_by_hand(store: Shop) -> None:
    """The next job pins the commit that it stands for; no request is lost, and pods that come later
    serve.
    """
    good = store.pin
    store.push(1)
    assert store.roll_out().code == 0
    annotations = {"annotations": {"modelsync.dev/revision": good[:10]}}
    with store.under_load() as tally:
        store.namespace.kubectl(
            "patch", "deployment", NAME, "--patch",
            json.dumps({"spec": {"template": {"metadata": annotations}}}),
        )  # fmt: skip
        job = store.roll_out()
        assert (job.code, store.pin, store.state["good"]) == (0, good, good), job.log
        store.namespace.kubectl("delete", "pod", sorted(store.names())[0])
        until(lambda: store.everywhere(good), 90)
    assert tally.failures == []
    assert store.events("RolloutPinned", good[:12])


def test_an_upgrade_keeps_the_pin(store: Shop) -> None:
    """`helm upgrade` with another setting replaces the pods, and they serve what was pinned, not
    the ref's tip.
    """
    pinned = store.pin
    store.push("not rolled out")
    with store.under_load() as tally:
        store.upgrade(settings={"MODELSYNC_THREADS": 7})
        store.namespace.ready(NAME)
        assert store.everywhere(pinned)
    assert tally.failures == []
    assert store.roll_out().code == 0
    assert store.pin != pinned


def test_a_suspended_cronjob_is_harmless(
    cluster: Cluster, namespace: Namespace, image: str, git: GitServer, tmp_path: Path
) -> None:
    """By the schedule a push arrives; suspended, it does not and the pods go on, also new ones;
    resumed, it does.
    """
    with shop(cluster, namespace, image, git, tmp_path, sync={"schedule": "* * * * *"}) as store:
        commit = store.push(1)
        seconds = within(180, lambda: store.pin == commit and store.state["good"] == commit)
        figure(f"{seconds:.0f} s from the push to all pods, with a CronJob of every minute")
        namespace.kubectl(
            "patch", "cronjob", f"{NAME}-rollout", "--patch", '{"spec": {"suspend": true}}'
        )
        until(lambda: not _running(store), 120)
        newer = store.push(2)
        jobs = {job["metadata"]["name"] for job in namespace.get("jobs")}
        store.scale(3)
        until(lambda: store.everywhere(commit, 3), 90)
        minute = time.time() // 60 + 1
        until(
            lambda: time.time() > minute * 60 + 15, 80, "a minute in which a job would have started"
        )
        assert {job["metadata"]["name"] for job in namespace.get("jobs")} <= jobs
        assert store.pin == commit
        namespace.kubectl(
            "patch", "cronjob", f"{NAME}-rollout", "--patch", '{"spec": {"suspend": false}}'
        )
        within(180, lambda: store.state["good"] == newer)


def _running(store: Shop) -> list[str]:
    return [
        job["metadata"]["name"]
        for job in store.namespace.get("jobs")
        if job["status"].get("active")
    ]


def test_pods_that_follow_by_themselves(
    cluster: Cluster, namespace: Namespace, image: str, git: GitServer, tmp_path: Path
) -> None:
    """`sync.mode: pod`: each pod swaps in place, no request is lost, and they do not all ask at
    once.
    """
    sync = {"mode": "pod", "schedule": "* * * * *"}
    with shop(cluster, namespace, image, git, tmp_path, sync=sync, replicaCount=4) as store:
        pods = store.names()
        store.namespace.ready(NAME)
        arrivals: list[float] = []
        with store.under_load() as tally:
            commit = store.push(1)
            seconds = within(150, lambda: store.everywhere(commit, 4))
            assert store.names() == pods
            asked = len(git.requests)
            for number in range(1, 5):
                until(partial(_looked, git, asked, number), 90)
                arrivals.append(time.monotonic())
        assert tally.failures == []
        spread = max(arrivals) - min(arrivals)
        assert spread > 0.3
        figure(
            f"{seconds:.0f} s from the push to 4 pods; their next syncs began within {spread:.1f} "
            "s of each other"
        )


def _looked(git: GitServer, since: int, times: int) -> bool:
    """Whether somebody has asked for the refs so often."""
    return sum("info/refs" in path for _, path, _ in git.requests[since:]) >= times
