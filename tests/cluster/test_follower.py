"""From a push to an answer within seconds, by the follower: on a real cluster, through nginx."""

from __future__ import annotations

import hashlib
import hmac
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest
import requests

from tests.cluster.cluster import Cluster, Namespace
from tests.cluster.shop import NAME, Shop, figure, shop, within
from tests.fixtures.git import GitServer
from tests.rollout.stage import BROKEN
from tests.waiting import patient, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1800)]

SECRET = "webhook-secret-of-the-cluster"
TOKEN = {"Authorization": "Bearer admin-token-of-the-cluster"}
PUSHES = 5
FOLLOWED = {
    "auth": {
        "webhookSecret": SECRET,
        "adminTokens": [TOKEN["Authorization"].removeprefix("Bearer ")],
        "generateAdminToken": False,
    },
    "sync": {"schedule": "*/30 * * * *"},
    "rollout": {"follower": {"enabled": True, "resources": {"requests": {"cpu": "20m"}}}},
}


@pytest.fixture(scope="module")
def followed(
    cluster: Cluster, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    """A shop of two pods with a follower, which has rolled out the first commit."""
    folder = tmp_path_factory.mktemp("followed")
    with ExitStack() as stack:
        git = stack.enter_context(GitServer(folder / "repository.git", host=cluster.host))
        namespace = Namespace(cluster, f"followed-{time.monotonic_ns() % 10**9}")
        stack.enter_context(namespace)
        yield stack.enter_context(shop(cluster, namespace, image, git, folder, **FOLLOWED))


def ask(store: Shop, method: str, path: str = "/models/sync", **options: Any) -> requests.Response:
    """A request through nginx."""
    return requests.request(
        method,
        f"{store.cluster.ingress}{path}",
        headers={"Host": store.host, **options.pop("headers", {})},
        timeout=patient(150),
        **options,
    )


def webhook(store: Shop) -> requests.Response:
    """Tell of a push as GitHub does."""
    body = json.dumps({"ref": "refs/heads/main", "repository": {"default_branch": "main"}}).encode()
    digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    return ask(
        store,
        "POST",
        data=body,
        headers={
            "Content-Type": "application/json",
            "X-GitHub-Event": "push",
            "X-Hub-Signature-256": f"sha256={digest}",
        },
    )


def answered(store: Shop, commit: str) -> bool:
    """Whether some pod answers a client of nginx with this commit."""
    return store.ask().headers.get("X-Modelsync-Release") == commit


def settled(store: Shop, commit: str) -> bool:
    """Whether the commit is known to be ready in every pod."""
    return store.state.get("good") == commit


def left(store: Shop) -> list[str]:
    """What there is of a follower."""
    return [
        one["metadata"]["name"]
        for kind in ("deployments", "services", "pods")
        for one in store.namespace.get(kind)
        if "follower" in one["metadata"]["name"]
    ]


@pytest.mark.smoke
def test_a_push_answers_within_seconds(followed: Shop) -> None:
    """By polling alone, under load: no job runs, no request fails, and then every pod answers with
    the new commit.
    """
    first, everywhere = [], []
    with followed.under_load() as tally:
        for value in range(1, PUSHES + 1):
            started = time.monotonic()
            commit = followed.push(value)
            within(90, partial(answered, followed, commit))
            first.append(time.monotonic() - started)
            within(90, partial(settled, followed, commit))
            everywhere.append(time.monotonic() - started)
            assert tally.failures == [], tally.failures[:5]
    assert followed.everywhere(commit)
    figure(
        f"{statistics.median(first):.1f} s (at most {max(first):.1f}) from the push to the first "
        f"answer, {statistics.median(everywhere):.1f} s until both pods are on it; {PUSHES} "
        f"pushes, 0 of {tally.answered} requests failed"
    )


def test_a_webhook_through_the_ingress(followed: Shop) -> None:
    """nginx leads the path to the follower, which looks at once; what is beside it is the pods'."""
    first = []
    for value in range(1, PUSHES + 1):
        started = time.monotonic()
        commit = followed.push(f"webhook {value}")
        heard = webhook(followed)
        assert (heard.status_code, heard.json()["status"]) == (202, "accepted"), heard.text
        within(90, partial(answered, followed, commit))
        first.append(time.monotonic() - started)
        within(90, partial(settled, followed, commit))
    figure(
        f"{statistics.median(first):.1f} s (at most {max(first):.1f}) from the push, with a "
        "webhook, to the first answer"
    )
    assert ask(followed, "POST").status_code == 401
    waited = ask(followed, "POST", headers={**TOKEN, "Prefer": "wait=60"})
    assert (waited.status_code, waited.json()["in_step"]) == (200, True), waited.text
    told = ask(followed, "GET")
    assert (told.json()["served"], told.json()["rollout"]["pods"]["available"]) == (commit, 2)
    assert ask(followed, "GET", "/models/sync/").headers["X-Modelsync-Release"] == commit
    (pod, *_) = followed.pods()
    refused = requests.post(
        f"http://{pod['status']['podIP']}:8080/models/sync", headers=TOKEN, timeout=patient(10)
    )
    assert refused.status_code == 409


def test_a_bad_commit(followed: Shop) -> None:
    """It is told by GET, by an Event and by the metrics; no pod is touched."""
    good, pods = followed.pin, followed.names()
    bad = followed.git.push({"Model/etls.py": BROKEN})
    seconds = within(60, lambda: followed.state.get("rejected") == bad)
    told = ask(followed, "GET").json()
    assert (told["result"], told["reason"], told["served"]) == ("failed", "check", good)
    assert followed.events("RolloutRejected", bad[:12])
    assert (followed.pin, followed.names()) == (good, pods)
    figure(f"{seconds:.1f} s from a bad push to its rejection: {told['message'][:120]}")
    mended = followed.push("mended")
    within(90, lambda: followed.state.get("good") == mended)


def test_a_follower_that_is_killed(followed: Shop) -> None:
    """While pods are on their way: the next one goes on, and nobody asks it to."""
    commit = followed.push("killed")
    until(lambda: followed.pin == commit, 60)
    followed.namespace.kubectl(
        "delete", "pod", "--selector=app.kubernetes.io/component=follower", "--grace-period=0",
        "--force",
    )  # fmt: skip
    seconds = within(120, lambda: followed.state.get("good") == commit)
    assert followed.everywhere(commit)
    assert len(followed.events("RolloutComplete", commit[:12])) == 1
    figure(f"{seconds:.1f} s from the death of a follower to the end of its rollout by the next")


def test_what_a_person_asks_for_in_its_pod(followed: Shop) -> None:
    """Beside the follower, which respects it: pin a commit by a short hash, see how far it is,
    unpin it.
    """
    good = followed.pin
    newer = followed.push("newer")
    within(90, partial(settled, followed, newer))

    def rollout(*options: str) -> str:
        return followed.namespace.kubectl(
            "exec", f"deployment/{NAME}-follower", "--", "modelsync", "rollout", *options
        )

    with followed.under_load() as tally:
        rollout("--pin", good[:10])
        told = json.loads(rollout("--status", "--json"))
        assert (told["tip"], told["pinned"], told["good"]) == (newer, good, good)
        assert told["rejected"]["reason"] == "pinned"
        assert followed.everywhere(good)
        rollout("--retry")
        within(90, partial(settled, followed, newer))
    assert tally.failures == []


def test_it_ends_quickly(followed: Shop) -> None:
    """With the grace period of its pod nearly unused, so that an upgrade waits for nothing."""
    name = followed.namespace.get("pods", "--selector=app.kubernetes.io/component=follower")[0][
        "metadata"
    ]["name"]
    started = time.monotonic()
    followed.namespace.kubectl("delete", "pod", name)  # waits for its end
    seconds = time.monotonic() - started
    assert seconds < patient(15)
    followed.namespace.ready(f"{NAME}-follower")
    figure(f"{seconds:.1f} s for a follower to end")


def test_the_cronjob_alone(followed: Shop) -> None:
    """Without a follower nothing of it is left, a job rolls out, and the path leads to the pods."""
    followed.upgrade(rollout={"follower": {"enabled": False}}, auth={"webhookSecret": ""})
    until(lambda: left(followed) == [], 60)
    commit = followed.push("by a job")
    job = followed.roll_out()
    assert (job.code, followed.pin) == (0, commit), job.log
    until(lambda: ask(followed, "POST", headers=TOKEN).status_code == 409, 60)
