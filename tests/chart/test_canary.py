"""The canary's objects: a second Deployment that nothing of the stable pods selects, and its share
of the requests.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from modelsync import settings
from tests.chart.rendering import FOLLOWING, Object, Objects, in_ci, refused, rendered
from tests.chart.test_objects import selected
from tests.chart.test_pods import violations
from tests.chart.validation import NEWEST, OLDEST, validate

CANARY: dict[str, Any] = {**FOLLOWING, "canary": {"enabled": True}}
GATEWAY = {"enabled": True, "parentRefs": [{"name": "public"}]}
DATABASE = {"url": "postgresql://u@h/n"}
ALL: dict[str, Any] = {
    **CANARY,
    "canary": {"enabled": True, "shadow": True, "ingress": {"enabled": True}},
    "ingress": {"enabled": True, "hosts": ["models.example.com"]},
    "gateway": GATEWAY,
    "autoscaling": {"enabled": True},
    "networkPolicy": {"enabled": True, "from": [{"podSelector": {}}]},
    "metrics": {"serviceMonitor": {"enabled": True}, "prometheusRule": {"enabled": True}},
}


def with_canary(**canary: Any) -> dict[str, Any]:
    return {**CANARY, "canary": {"enabled": True, **canary}}


def labels_of_pods(objects: Objects) -> dict[str, Object]:
    return {component: pod["metadata"]["labels"] for component, pod in objects.pods()}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_objects_are_valid(version: str) -> None:
    """With all that there may be of a canary; its pods are restricted like all others."""
    objects = rendered(ALL)
    for one in objects.all:
        validate(one, version)
    assert violations(objects.pod("canary")) == []
    assert not objects.pod("canary")["spec"]["automountServiceAccountToken"]


def test_what_there_is_of_it() -> None:
    """Nothing, where it is not enabled; a Deployment, a Service, a budget and its memory, where it
    is.
    """
    without, having = rendered(FOLLOWING), rendered(CANARY)
    assert set(having.names) - set(without.names) == {
        f"{kind}/shop-modelsync-canary{suffix}"
        for kind, suffix in (
            ("ConfigMap", "-rollout"), ("Deployment", ""), ("PodDisruptionBudget", ""),
            ("Service", ""),
        )
    }  # fmt: skip
    assert "data" not in having.one("ConfigMap", "-canary-rollout")
    assert having.one("Deployment")["spec"] == without.one("Deployment")["spec"]
    assert having.one("Deployment", "-canary")["spec"]["replicas"] == 1


def test_no_selector_mixes_the_two() -> None:
    """What is of the stable pods selects them alone, what is of the canary its own; one network
    policy is of both.
    """
    objects = rendered(ALL)
    labels = labels_of_pods(objects)
    for suffix, component in (("", "server"), ("-canary", "canary")):
        deployment = objects.one("Deployment", suffix)["spec"]
        for selector in (
            deployment["selector"],
            objects.one("PodDisruptionBudget", suffix)["spec"]["selector"],
            {"matchLabels": objects.one("Service", suffix)["spec"]["selector"]},
        ):
            assert selected(selector, labels) == [component]
        monitor = objects.one("ServiceMonitor", suffix)["spec"]["selector"]["matchLabels"]
        services = [one for one in objects.all if one["kind"] == "Service"]
        assert [
            one["metadata"]["name"]
            for one in services
            if monitor.items() <= one["metadata"]["labels"].items()
        ] == [f"shop-modelsync{suffix}"]
    policy = objects.one("NetworkPolicy")["spec"]
    assert selected(policy["podSelector"], labels) == ["canary", "server"]
    assert objects.one("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == (
        "shop-modelsync"
    )


def test_its_pods_are_those_of_the_stable_ones() -> None:
    """But for their labels, what they remember, and that they fit nothing."""
    values = {**CANARY, "training": {"enabled": True}, "database": DATABASE}
    objects = rendered(values)
    own, stable = (objects.container(component) for component in ("canary", "server"))
    assert {**own, "env": 0} == {**stable, "env": 0}
    (proven,) = (one for one in own["env"] if one["name"] == "MODELSYNC_GIT_PROVEN")
    assert proven["valueFrom"]["configMapKeyRef"]["name"] == "shop-modelsync-canary-rollout"
    found = settings.load(objects.environment("canary"))
    assert (found.git.ref, found.training.jobs) == ("candidate", "off")
    assert settings.load(objects.environment()).training.jobs == "kubernetes"


def test_rollouts_know_it() -> None:
    """The processes that roll out have its settings and the rights to its objects; the pods that
    serve have neither.
    """
    rule = {"decides": "drop", "requests": 50, "after": "5m", "errorRate": 0.02, "slower": 2}
    objects = rendered(with_canary(ref="next", rule=rule))
    for component in ("rollout", "follower"):
        found = settings.load(objects.environment(component)).canary
        assert (found.ref, found.decides, found.requests, found.after) == ("next", "drop", 50, 300)
        assert (found.error_rate, found.slower, found.different) == (0.02, 2, 0.01)
    for component in ("server", "canary"):
        assert not any("CANARY" in name for name in objects.environment(component))
    names = [rule.get("resourceNames") for rule in objects.one("Role", "-rollout")["rules"]]
    assert names[:2] == [
        ["shop-modelsync", "shop-modelsync-canary"],
        ["shop-modelsync-rollout", "shop-modelsync-canary-rollout"],
    ]


@pytest.mark.parametrize("weight", [0, 10, 100])
def test_weights_of_the_route(weight: int) -> None:
    """They add up to 100; without a canary there are none."""
    spec = rendered({**with_canary(weight=weight), "gateway": GATEWAY}).one("HTTPRoute")["spec"]
    assert spec["rules"][-1]["backendRefs"] == [
        {"name": "shop-modelsync", "port": 80, "weight": 100 - weight},
        {"name": "shop-modelsync-canary", "port": 80, "weight": weight},
    ]
    without = rendered({**FOLLOWING, "gateway": GATEWAY}).one("HTTPRoute")["spec"]
    assert without["rules"][-1]["backendRefs"] == [{"name": "shop-modelsync", "port": 80}]


def test_what_fits_models_goes_to_the_stable_pods() -> None:
    """The route leads the methods that change something past the canary, which fits nothing."""
    values = {
        **CANARY, "gateway": GATEWAY, "training": {"enabled": True}, "database": DATABASE,
    }  # fmt: skip
    *_, changing, reading = rendered(values).one("HTTPRoute")["spec"]["rules"]
    assert [match["method"] for match in changing["matches"]] == ["PUT", "PATCH", "DELETE"]
    assert changing["backendRefs"] == [{"name": "shop-modelsync", "port": 80}]
    assert len(reading["backendRefs"]) == 2


def test_ingress_of_the_communitys_controller() -> None:
    """A second Ingress for the same hosts and paths, with its canary annotations; only if asked
    for.
    """
    ingress = {"enabled": True, "hosts": ["a.example.com"], "className": "public"}
    values = {**with_canary(weight=5), "ingress": ingress}
    assert [
        one["metadata"]["name"] for one in rendered(values).all if one["kind"] == "Ingress"
    ] == ["shop-modelsync"]
    header = {"nginx.ingress.kubernetes.io/canary-by-header": "X-Canary"}
    wanted = with_canary(weight=5, ingress={"enabled": True, "annotations": header})
    objects = rendered({**wanted, "ingress": ingress})
    own, stable = objects.one("Ingress", "-canary"), objects.one("Ingress")
    assert own["metadata"]["annotations"] == {
        "nginx.ingress.kubernetes.io/canary": "true",
        "nginx.ingress.kubernetes.io/canary-weight": "5",
        **header,
    }
    assert own["spec"]["ingressClassName"] == "public"
    (rule,), (theirs,) = own["spec"]["rules"], stable["spec"]["rules"]
    assert rule["host"] == theirs["host"]
    backends = [
        (path["path"], path["backend"]["service"]["name"]) for path in rule["http"]["paths"]
    ]
    assert backends == [("/models", "shop-modelsync-canary")]


def test_copies_of_requests() -> None:
    """The stable pods send them to the canary's Service, and may reach it; it sends none itself."""
    objects = rendered(ALL)
    assert objects.environment()["MODELSYNC_SHADOW_URL"] == "http://shop-modelsync-canary:80"
    assert "MODELSYNC_SHADOW_URL" not in objects.environment("canary")
    policy, labels = objects.one("NetworkPolicy")["spec"], labels_of_pods(objects)
    reached = [
        selected(peer["podSelector"], labels)
        for rule in policy["egress"]
        for peer in rule.get("to", [])
        if "podSelector" in peer
    ]
    assert reached == [["canary"]]
    ours = policy["ingress"][0]["from"][-1]["podSelector"]
    assert {"server", "rollout", "follower"} <= set(selected(ours, labels))
    elsewhere = with_canary()
    elsewhere["settings"] = {"MODELSYNC_SHADOW_URL": "http://elsewhere"}
    assert rendered(elsewhere).environment("canary")["MODELSYNC_SHADOW_URL"] == ""


def test_rollouts_may_ask_all_pods_that_serve() -> None:
    """For the reasons why they are not ready, and for their figures."""
    objects = rendered(ALL)
    labels = labels_of_pods(objects)
    for name in ("-rollout", "-follower"):
        peers = [
            selected(peer["podSelector"], labels)
            for rule in objects.one("NetworkPolicy", name)["spec"]["egress"]
            for peer in rule.get("to", [])
            if "podSelector" in peer
        ]
        assert peers == [["canary", "server"]]


def test_alerts_are_about_the_stable_pods() -> None:
    """The series of the canary have another job, so commits that differ there wake nobody."""
    (group,) = rendered(ALL).one("PrometheusRule")["spec"]["groups"]
    rules = {rule["alert"]: rule["expr"] for rule in group["rules"]}
    assert 'job="shop-modelsync"' in rules["ModelsyncCommitsDiffer"]
    about = [name for name, expression in rules.items() if "shop-modelsync-canary" in expression]
    assert about == ["ModelsyncCanaryDown"]
    (group,) = rendered({**ALL, **with_canary(weight=0)}).one("PrometheusRule")["spec"]["groups"]
    assert "ModelsyncCanaryDown" not in [rule["alert"] for rule in group["rules"]]


CLAIM = {"state": {"existingClaim": "versions"}, "replicaCount": 1}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"canary": {"enabled": True}}, "canary.enabled is true, but git.path is not set"),
        ({**CANARY, "sync": {"mode": "pod"}}, "canary.enabled is true, but sync.mode is pod"),
        (with_canary(ref="HEAD"), "canary.ref and git.ref are both HEAD"),
        ({**CANARY, **CLAIM}, "state.existingClaim is the volume of one pod"),
        ({**FOLLOWING, "canary": {"shadow": True}}, "canary.shadow is set, but canary.enabled is"),
        (
            {**FOLLOWING, "canary": {"rule": {"decides": "drop"}}},
            "canary.rule.decides is set, but canary.enabled is false",
        ),
        (with_canary(ingress={"enabled": True}), "but ingress.enabled is false"),
        (
            {
                **with_canary(ingress={"enabled": True}), "ingress": {"enabled": True},
                "training": {"enabled": True}, "database": DATABASE,
            },
            "an Ingress cannot keep PUT and PATCH from the canary",
        ),
        (
            with_canary(weight=0, rule={"decides": "both"}),
            "canary.rule.decides is both, but no request reaches the canary",
        ),
        (
            {**with_canary(shadow=True), "settings": {"MODELSYNC_SHADOW_URL": "http://other"}},
            "settings.MODELSYNC_SHADOW_URL names another candidate",
        ),
        (
            {
                **CANARY, "training": {"enabled": True, "jobs": "process"}, "replicaCount": 1,
            },
            "the canary would have none of the versions",
        ),
    ],
)  # fmt: skip
def test_contradictions_are_told(values: dict[str, Any], message: str) -> None:
    """Before anything reaches the cluster, and with what to set instead."""
    assert message in refused(values)


@pytest.mark.parametrize(
    "canary",
    [
        *({"weight": 101}, {"weight": -1}, {"ref": ""}, {"replicaCount": 0}, {"percent": 5}),
        *({"rule": {one: 2}} for one in ("decides", "errorRate")),
        {"rule": {"after": 0}},
    ],
)
def test_what_cannot_be_is_refused(canary: dict[str, Any]) -> None:
    """By the schema."""
    assert "don't meet the specifications of the schema" in refused(with_canary(**canary))


def test_full_values_have_one() -> None:
    """Those that the tests of all objects render."""
    objects = rendered(in_ci("full"))
    kinds = ("Deployment", "Service", "ServiceMonitor", "PodDisruptionBudget")
    for kind, suffix in product(kinds, ("", "-canary")):
        assert objects.one(kind, suffix)
