"""A canary on a real cluster: another branch on pods of its own, promoted and dropped by hand."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
import requests

from tests.cluster.cluster import Cluster, Namespace, Object
from tests.cluster.shop import BODY, JSON, NAME, VALUES, Job, Shop, shop
from tests.fixtures.git import GitServer
from tests.fixtures.service import answers
from tests.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(1200)]


def try_out(shop: Shop, value: object) -> str:
    """Push a commit to the canary's branch, on top of what main has; its hash."""
    main = shop.git.git("rev-parse", "refs/heads/main")
    return shop.git.push({"Model/etls.py": answers(value)}, branch="candidate", onto=main)


def roll_out(shop: Shop, *options: str) -> Job:
    """A run of the CronJob's job with these options, from its start to its end."""
    name = f"by-hand-{time.monotonic_ns()}"
    job: Object = json.loads(
        shop.namespace.kubectl(
            "create", "job", f"--from=cronjob/{NAME}-rollout", name,
            "--dry-run=client", "--output=json",
        )
    )  # fmt: skip
    job["spec"]["template"]["spec"]["containers"][0]["args"] += options
    shop.namespace.apply(job)
    return shop.end(name)


def pods_of_canary(shop: Shop) -> list[Object]:
    found = shop.namespace.get("pods", "--selector=app.kubernetes.io/component=canary")
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def served_by_canary(shop: Shop) -> set[tuple[str, object]]:
    """Commit and value with which its pods answer, each asked by itself."""
    found = set()
    for pod in pods_of_canary(shop):
        url = f"http://{pod['status']['podIP']}:8080/models/Model"
        answer = requests.post(url, data=BODY, headers=JSON, timeout=10)
        found.add((answer.headers["X-Modelsync-Release"], answer.json()["value"]))
    return found


def compared(shop: Shop) -> dict[str, float]:
    """How many answers of the canary were equal, different, and so on, by the stable pods."""
    found: dict[str, float] = {}
    for pod in shop.pods():
        text = requests.get(f"http://{pod['status']['podIP']}:8080/metrics", timeout=10).text
        for result, number in re.findall(
            r'^modelsync_shadow_requests_total\{.*result="(\w+)".*\} (\S+)$', text, re.MULTILINE
        ):
            found[result] = found.get(result, 0) + float(number)
    return found


def test_a_commit_is_tried_promoted_and_another_one_dropped(
    cluster: Cluster, namespace: Namespace, image: str, git: GitServer, tmp_path: Path
) -> None:
    """The canary serves what the stable pods serve, then the commit of its branch, of which the
    stable pods tell the differences; promoted, it is everywhere, and the next one is dropped.
    """
    canary = {"enabled": True, "weight": 0, "shadow": True}
    # Its pod waits until the stable ones have their first commit.
    patient = VALUES["lifecycle"] | {"progressDeadlineSeconds": 240}
    with shop(cluster, namespace, image, git, tmp_path, canary=canary, lifecycle=patient) as one:
        stable = one.pin
        assert served_by_canary(one) == {(stable, 0)}

        tried = try_out(one, 1)
        job = roll_out(one)
        assert job.code == 0, job.log
        until(lambda: served_by_canary(one) == {(tried, 1)}, 60, "the canary serves its branch")
        assert one.everywhere(stable)
        until(lambda: one.ask().ok and compared(one).get("different"), 60, "answers are compared")

        job = roll_out(one, "--promote")
        assert job.code == 0, job.log
        until(lambda: one.everywhere(tried), 60, "the last old pod has drained")
        assert one.state["good"] == one.pin == tried
        assert one.events("CanaryPromoted", tried[:12])

        bad = try_out(one, 2)
        assert roll_out(one).code == 0
        until(lambda: served_by_canary(one) == {(bad, 2)}, 60, "the canary serves its branch")
        job = roll_out(one, "--drop")
        assert job.code == 0, job.log
        until(lambda: served_by_canary(one) == {(tried, 1)}, 60, "the canary is back")
        assert one.everywhere(tried)
