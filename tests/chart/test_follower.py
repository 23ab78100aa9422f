"""The follower's objects: one pod that rolls out within seconds, and the path that leads to it."""

from __future__ import annotations

from typing import Any

import pytest

from modelsync import settings
from tests.chart.rendering import FOLLOWING, Objects, in_ci, rendered
from tests.chart.test_objects import selected
from tests.chart.test_secrets import files

OFF: dict[str, dict[str, Any]] = {
    "standalone": {},
    "mode pod": {**FOLLOWING, "sync": {"mode": "pod"}},
    "only when asked": {**FOLLOWING, "sync": {"schedule": "off"}},
    "not wanted": {**FOLLOWING, "rollout": {"follower": {"enabled": False}}},
}
WAYS_IN = {
    "ingress": {"enabled": True, "hosts": ["a.example.com", "b.example.com"]},
    "gateway": {"enabled": True, "parentRefs": [{"name": "public"}]},
}


def test_one_pod_follows() -> None:
    """It runs what the CronJob's job runs, with the same rights, and the old one ends before the
    new one starts.
    """
    objects = rendered(FOLLOWING)
    spec = objects.one("Deployment", "-follower")["spec"]
    assert spec["strategy"] == {"type": "Recreate"}
    assert "replicas" not in spec  # one; what `kubectl scale` says of it stays at upgrades
    follower, job = objects.pod("follower")["spec"], objects.pod("rollout")["spec"]
    assert follower["serviceAccountName"] == job["serviceAccountName"]
    assert objects.container("follower")["args"] == ["rollout", "--follow"]
    found = settings.load(objects.environment("follower"))
    assert found.rollout == settings.load(objects.environment("rollout")).rollout
    assert found.rollout.deployment == objects.fullname
    names = {one["name"] for one in job["volumes"]}
    assert {one["name"] for one in follower["volumes"]} == names | {"auth"}


@pytest.mark.parametrize("name", OFF)
def test_nothing_follows(name: str) -> None:
    """Nothing of it is there, and no path leads to it."""
    objects = rendered({**OFF[name], **WAYS_IN})
    assert not [one for one in objects.names if "follower" in one]
    assert "follower" not in dict(objects.pods())
    assert paths(objects) == [("/models", "Prefix", "shop-modelsync")]
    assert len(objects.one("HTTPRoute")["spec"]["rules"]) == 1


def test_suspended() -> None:
    """No pod follows, and the pods that serve answer in its place; the CronJob starts no job."""
    objects = rendered({**FOLLOWING, **WAYS_IN, "rollout": {"suspend": True}})
    assert objects.one("Deployment", "-follower")["spec"]["replicas"] == 0
    assert paths(objects) == [("/models", "Prefix", "shop-modelsync")]


def paths(objects: Objects) -> list[tuple[str, str, str]]:
    """The paths of each host of the Ingress, which are the same for all."""
    rules = objects.one("Ingress")["spec"]["rules"]
    assert all(rule["http"] == rules[0]["http"] for rule in rules)
    return [
        (one["path"], one["pathType"], one["backend"]["service"]["name"])
        for one in rules[0]["http"]["paths"]
    ]


@pytest.mark.parametrize(("base", "path"), [("models", "/models/sync"), ("", "/sync")])
def test_requests_for_a_sync_go_to_it(base: str, path: str) -> None:
    """That very path, and nothing else: what is below it, or begins like it, is a model's."""
    objects = rendered({**FOLLOWING, **WAYS_IN, "baseUrl": base, "service": {"port": 81}})
    assert paths(objects) == [
        (path, "Exact", "shop-modelsync-follower"),
        (f"/{base}", "Prefix", "shop-modelsync"),
    ]
    sync, rest = objects.one("HTTPRoute")["spec"]["rules"]
    assert sync["matches"] == [{"path": {"type": "Exact", "value": path}}]
    assert sync["backendRefs"] == [{"name": "shop-modelsync-follower", "port": 81}]
    assert rest["backendRefs"] == [{"name": "shop-modelsync", "port": 81}]
    (port,) = objects.one("Service", "-follower")["spec"]["ports"]
    assert (port["port"], port["targetPort"]) == (81, "http")


def test_its_service_and_policy_select_it_alone() -> None:
    """Neither the pods that serve nor the jobs; the monitor selects its Service."""
    objects = rendered(in_ci("full"))
    labels = {component: pod["metadata"]["labels"] for component, pod in objects.pods()}
    policy = objects.one("NetworkPolicy", "-follower")["spec"]
    for selector in (
        {"matchLabels": objects.one("Service", "-follower")["spec"]["selector"]},
        objects.one("Deployment", "-follower")["spec"]["selector"],
        policy["podSelector"],
    ):
        assert selected(selector, labels) == ["follower"]
    monitor = objects.one("ServiceMonitor", "-follower")["spec"]["selector"]["matchLabels"]
    service = objects.one("Service", "-follower")["metadata"]["labels"]
    assert monitor.items() <= service.items()
    assert not monitor.items() <= objects.one("Service")["metadata"]["labels"].items()
    assert policy["egress"] == objects.one("NetworkPolicy", "-rollout")["spec"]["egress"]
    assert policy["ingress"][0]["ports"] == [{"port": "http", "protocol": "TCP"}]


def test_webhooks_are_its_business() -> None:
    """In mode rollout no other pod has their secret; in mode pod those that serve have it."""
    auth = {"webhookSecret": "hush"}
    objects = rendered({**FOLLOWING, "auth": auth})
    name = "MODELSYNC_WEBHOOK_SECRET_FILE"
    assert files(objects, "follower")[name] == ("shop-modelsync-auth", "webhook-secret")
    assert name not in objects.environment()
    assert "webhook-secret" not in str(objects.pod())
    before = rendered(FOLLOWING).pod()
    assert objects.pod() == before  # so that none restarts
    in_pods = rendered({**FOLLOWING, "sync": {"mode": "pod"}, "auth": auth})
    assert files(in_pods)[name] == ("shop-modelsync-auth", "webhook-secret")


def test_what_models_need_is_there_for_the_check() -> None:
    """Containers before and beside the service are in its pod, too."""
    more = {"name": "proxy", "image": "proxy"}
    spec = rendered({**FOLLOWING, "initContainers": [more], "extraContainers": [more]}).pod(
        "follower"
    )["spec"]
    assert spec["initContainers"] == [more]
    assert spec["containers"][1:] == [more]
