"""The chart's objects: valid for Kubernetes, the same from Helm 3 and 4, and fitting each other."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from scripts import chart_helm
from tests.chart.rendering import CI, FOLLOWING, NAMESPACE, RELEASE, Object, in_ci, rendered
from tests.chart.validation import NEWEST, OLDEST, validate

VALUES: dict[str, dict[str, Any]] = {
    **{name: in_ci(name) for name in CI},
    "following": FOLLOWING,
    "pod": {**FOLLOWING, "sync": {"mode": "pod"}},
    "off": {**FOLLOWING, "sync": {"schedule": "off"}},
    "nothing optional": {
        "podDisruptionBudget": {"enabled": False},
        "auth": {"generateAdminToken": False},
        "serviceAccount": {"create": False},
        "affinity": {"podAntiAffinity": None},
    },
}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", VALUES)
def test_objects_are_valid(name: str, version: str) -> None:
    """Every object fits Kubernetes' own schema, or the one of its definition; unknown fields are
    errors.
    """
    for one in rendered(VALUES[name]).all:
        validate(one, version)


def test_unknown_fields_are_seen() -> None:
    """The validation above can fail."""
    (pod,) = (one for one in rendered().all if one["kind"] == "Pod")
    with pytest.raises(jsonschema.ValidationError, match="restartPolicies"):
        validate({**pod, "spec": {**pod["spec"], "restartPolicies": 1}})
    route = rendered(in_ci("full")).one("HTTPRoute")
    route["spec"]["rules"][0]["timeout"] = "1s"
    with pytest.raises(jsonschema.ValidationError, match="timeout"):
        validate(route)


@pytest.mark.parametrize("name", CI)
def test_helm_3_and_4_agree(name: str) -> None:
    """Both render the same objects."""
    three, four = chart_helm.find(3), chart_helm.find(4)
    if not three or not four:
        pytest.skip("Helm 3 or 4 is not here: make helm4")
    values = {**in_ci(name), "auth": {**in_ci(name).get("auth", {}), "generateAdminToken": False}}
    assert rendered(values, helm=three).all == rendered(values, helm=four).all


def test_nothing_needs_to_be_set() -> None:
    """Without any value the chart serves the models in the image: no rollout, nothing of a
    repository.
    """
    objects = rendered(in_ci("minimal"))
    assert objects.all != []
    assert objects.names == [
        "ConfigMap/shop-modelsync",
        "Deployment/shop-modelsync",
        "Pod/shop-modelsync-test",
        "PodDisruptionBudget/shop-modelsync",
        "Secret/shop-modelsync-auth",
        "Service/shop-modelsync",
        "ServiceAccount/shop-modelsync",
    ]
    assert "MODELSYNC_GIT" not in json.dumps(objects.all)


def test_a_repository_is_followed_by_rollouts() -> None:
    """With nothing but git.path there is the CronJob, what it may do, and where it remembers; and
    the follower.
    """
    added = set(rendered(FOLLOWING).names) - set(rendered().names)
    assert added == {
        *(
            f"{kind}/shop-modelsync-rollout"
            for kind in ("ConfigMap", "CronJob", "Role", "RoleBinding", "ServiceAccount")
        ),
        "Deployment/shop-modelsync-follower",
        "Service/shop-modelsync-follower",
    }


def test_pods_that_follow_by_themselves_need_no_rollout() -> None:
    """In mode pod there is no CronJob, and no pod may ask the API server for anything."""
    objects = rendered(VALUES["pod"])
    assert not objects.kinds & {"CronJob", "Role", "RoleBinding"}
    assert not any(pod["spec"]["automountServiceAccountToken"] for _, pod in objects.pods())


def test_everything_is_set_in_the_full_values() -> None:
    """With ci/full-values.yaml every kind of object is there."""
    assert rendered(in_ci("full")).kinds == {
        *(
            "ConfigMap",
            "CronJob",
            "DaemonSet",
            "Deployment",
            "HTTPRoute",
            "HorizontalPodAutoscaler",
            "Ingress",
            "NetworkPolicy",
        ),
        *(
            "PersistentVolumeClaim",
            "Pod",
            "PodDisruptionBudget",
            "PrometheusRule",
            "Role",
            "RoleBinding",
            "Secret",
        ),
        *("Service", "ServiceAccount", "ServiceMonitor"),
    }


@pytest.mark.parametrize("name", VALUES)
def test_all_objects_are_labelled(name: str) -> None:
    """Labels tell each object's application and release; its namespace is the release's."""
    for one in rendered(VALUES[name]).all:
        labels = one["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == RELEASE
        assert labels["app.kubernetes.io/name"] in {"modelsync", "models"}
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert one["metadata"].get("namespace", NAMESPACE) == NAMESPACE


@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        ("shop", {}, "shop-modelsync"),
        ("modelsync", {}, "modelsync"),
        ("my-modelsync-2", {}, "my-modelsync-2"),
        ("shop", {"nameOverride": "models"}, "shop-models"),
        ("shop", {"fullnameOverride": "everything"}, "everything"),
        ("a" * 53, {}, "a" * 44),
    ],
)
def test_names(release: str, values: dict[str, Any], name: str) -> None:
    """Objects are named by the release; with `-rollout` behind it a CronJob's name has at most 52
    characters.
    """
    objects = rendered({**FOLLOWING, **values}, release=release)
    assert objects.fullname == name
    assert len(objects.one("CronJob", "-rollout")["metadata"]["name"]) <= 52


def test_traffic_reaches_only_the_pods_that_serve() -> None:
    """Service, budget, policy and monitor select the Deployment's pods, and neither the rollout's
    nor the test's; the policy is the canary's too.
    """
    objects = rendered(in_ci("full"))
    labels = {component: pod["metadata"]["labels"] for component, pod in objects.pods()}
    selectors = [
        objects.one("Service")["spec"]["selector"],
        objects.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        objects.one("Deployment")["spec"]["selector"]["matchLabels"],
        *(
            one["labelSelector"]["matchLabels"]
            for one in objects.pod()["spec"]["topologySpreadConstraints"]
        ),
    ]
    for selector in selectors:
        assert [name for name, found in labels.items() if selector.items() <= found.items()] == [
            "server"
        ]
    policy = objects.one("NetworkPolicy")["spec"]
    assert selected(policy["podSelector"], labels) == ["canary", "server"]
    monitor = objects.one("ServiceMonitor")["spec"]
    service = objects.one("Service")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert [endpoint["port"] for endpoint in monitor["endpoints"]] == [
        service["spec"]["ports"][0]["name"]
    ]


def test_service_port() -> None:
    """The Service answers at port 80 and reaches the container's port by name."""
    (port,) = rendered().one("Service")["spec"]["ports"]
    assert (port["port"], port["targetPort"], port["appProtocol"]) == (80, "http", "http")
    assert rendered().container()["ports"] == [
        {"name": "http", "containerPort": 8080, "protocol": "TCP"}
    ]


def test_ingress_shows_the_models_alone() -> None:
    """The Ingress is of class nginx, has no annotation of any controller, and does not show
    /metrics.
    """
    ingress = rendered(
        {"ingress": {"enabled": True, "hosts": ["a.example.com", "b.example.com"]}}
    ).one("Ingress")
    assert ingress["spec"]["ingressClassName"] == "nginx"
    assert "annotations" not in ingress["metadata"]
    assert [rule["host"] for rule in ingress["spec"]["rules"]] == ["a.example.com", "b.example.com"]
    for rule in ingress["spec"]["rules"]:
        (path,) = rule["http"]["paths"]
        assert (path["path"], path["pathType"]) == ("/models", "Prefix")
        assert path["backend"]["service"] == {"name": "shop-modelsync", "port": {"name": "http"}}


def test_ingress_for_any_host() -> None:
    """Without hosts the Ingress answers for all, and an empty baseUrl is the root."""
    ingress = rendered({"baseUrl": "", "ingress": {"enabled": True, "className": ""}}).one(
        "Ingress"
    )
    (rule,) = ingress["spec"]["rules"]
    assert "host" not in rule
    assert "ingressClassName" not in ingress["spec"]
    assert rule["http"]["paths"][0]["path"] == "/"


def test_route() -> None:
    """The HTTPRoute belongs to the Gateways that are named and shows the models alone."""
    gateway = {
        "enabled": True,
        "parentRefs": [{"name": "public", "namespace": "gateways"}],
        "timeout": "60s",
    }
    spec = rendered({"gateway": gateway}).one("HTTPRoute")["spec"]
    assert spec["parentRefs"] == gateway["parentRefs"]
    (rule,) = spec["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/models"}}]
    assert rule["backendRefs"] == [{"name": "shop-modelsync", "port": 80}]
    assert rule["timeouts"] == {"request": "60s"}


def test_autoscaling_owns_the_number_of_pods() -> None:
    """With an autoscaler the Deployment says nothing of replicas, so that no upgrade sets them
    back.
    """
    objects = rendered({"autoscaling": {"enabled": True}})
    assert "replicas" not in objects.one("Deployment")["spec"]
    assert rendered().one("Deployment")["spec"]["replicas"] == 2
    scaler = objects.one("HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "shop-modelsync",
    }
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 10)
    assert scaler["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert scaler["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300
    (metric,) = scaler["metrics"]
    assert metric["resource"] == {
        "name": "cpu",
        "target": {"type": "Utilization", "averageUtilization": 70},
    }


def test_drains_go_one_pod_at_a_time() -> None:
    """The budget lets one pod go, also of a single one, and any that is not ready; minAvailable
    takes its place.
    """
    budget = rendered({"replicaCount": 1}).one("PodDisruptionBudget")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")
    budget = rendered({"podDisruptionBudget": {"minAvailable": 3}}).one("PodDisruptionBudget")[
        "spec"
    ]
    assert budget["minAvailable"] == 3
    assert "maxUnavailable" not in budget


EVERYWHERE = [
    {"namespaceSelector": {}},
    {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]}},
    {"ipBlock": {"cidr": "::/0", "except": ["fd00:ec2::254/128"]}},
]
"""All targets but the metadata services of clouds."""


@pytest.mark.parametrize(
    ("path", "more", "ports"),
    [
        ("https://git.example.com/models.git", {}, [443]),
        ("https://git.example.com:8443/models.git", {}, [8443]),
        ("ssh://git@git.example.com:2222/models.git", {}, [2222, 443]),
        ("git@git.example.com:models.git", {}, [22, 443]),
        ("git@git.example.com:models.git", {"lfs": False}, [22]),
        (
            "https://git.example.com/models.git",
            {"lfsUrl": "https://lfs.example.com:9443/models"},
            [443, 9443],
        ),
    ],
)
def test_network_policy(path: str, more: Object, ports: list[int]) -> None:
    """Pods may be called on their port, and may reach DNS, the repository and its Git LFS server;
    the rollout the API server too.
    """
    secret = {"existingSecret": "key"} if not path.startswith("https") else {}
    git = {"path": path, **secret, **more}
    objects = rendered({"git": git, "networkPolicy": {"enabled": True}})
    server = objects.one("NetworkPolicy")["spec"]
    assert server["policyTypes"] == ["Ingress", "Egress"]
    assert server["ingress"] == [{"ports": [{"port": "http", "protocol": "TCP"}]}]
    needed = [
        {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]},
        {"ports": [{"port": port, "protocol": "TCP"} for port in ports], "to": EVERYWHERE},
    ]
    assert server["egress"] == needed
    rollout = objects.one("NetworkPolicy", "-rollout")["spec"]
    assert "ingress" not in rollout
    assert rollout["egress"] == [
        *needed,
        {"ports": [{"port": 443, "protocol": "TCP"}, {"port": 6443, "protocol": "TCP"}]},
        {
            "ports": [{"port": 8080, "protocol": "TCP"}],
            "to": [{"podSelector": server["podSelector"]}],
        },
    ]


def test_metadata_services_are_out_of_reach() -> None:
    """Rules of the values that are for all addresses leave them out as well; one that names such an
    address is taken at its word.
    """
    port = [{"port": 80, "protocol": "TCP"}]
    narrow = {"ports": port, "to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}
    named = {"to": [{"ipBlock": {"cidr": "169.254.169.254/32"}}]}
    wide = {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]}
    egress = [{"ports": port}, narrow, named, wide]
    policy = {"enabled": True, "egress": egress}

    def rules(**values: Any) -> list[Object]:
        found: list[Object] = rendered({"networkPolicy": {**policy, **values}}).one(
            "NetworkPolicy"
        )["spec"]["egress"][1:]
        return found

    excepted = {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", "169.254.169.254/32"]}
    assert rules() == [
        {"ports": port, "to": EVERYWHERE},
        narrow,
        named,
        {"to": [{"ipBlock": excepted}]},
    ]
    assert rules(blockMetadata=False) == egress


def test_address_families() -> None:
    """The Service asks for what the values say, and the pods then listen at addresses of both
    families.
    """
    assert not {"ipFamilies", "ipFamilyPolicy"} & rendered().one("Service")["spec"].keys()
    for service in (
        {"ipFamilies": ["IPv6"]},
        {"ipFamilyPolicy": "PreferDualStack"},
        {"ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack"},
    ):
        objects = rendered({**FOLLOWING, "service": service})
        assert service.items() <= objects.one("Service")["spec"].items()
        for component in ("server", "rollout"):
            assert objects.environment(component)["MODELSYNC_HOST"] == "::"
    objects = rendered({"service": {"ipFamilies": ["IPv4"]}})
    assert objects.environment()["MODELSYNC_HOST"] == "0.0.0.0"


def test_a_pod_monitor_in_place_of_a_service_monitor() -> None:
    """It scrapes the pods that serve, under the job's name that alerts and dashboard go by."""
    objects = rendered(in_ci("pod"))
    assert "ServiceMonitor" not in objects.kinds
    monitor = objects.one("PodMonitor")
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    labels = {component: pod["metadata"]["labels"] for component, pod in objects.pods()}
    assert selected(monitor["spec"]["selector"], labels) == ["server"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["port"] == objects.container()["ports"][0]["name"]
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": objects.fullname}]


def selected(selector: Object, labels: dict[str, Object]) -> list[str]:
    """The components that a label selector selects."""
    asked = selector.get("matchLabels", {}).items()
    terms = selector.get("matchExpressions", [])
    return sorted(
        name
        for name, found in labels.items()
        if asked <= found.items()
        and all(found.get(term["key"]) in term["values"] for term in terms)
    )


def test_network_policy_lets_our_own_in() -> None:
    """Where callers are named, the pod of `helm test` and the rollout, which asks why a pod is not
    ready, are two.
    """
    peer = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}
    objects = rendered({**FOLLOWING, "networkPolicy": {"enabled": True, "from": [peer]}})
    first, second = objects.one("NetworkPolicy")["spec"]["ingress"][0]["from"]
    assert first == peer
    labels = {component: pod["metadata"]["labels"] for component, pod in objects.pods()}
    assert selected(second["podSelector"], labels) == ["follower", "rollout", "test"]


def test_cache_claim() -> None:
    """The cache is a claim of the chart, or the user's own; every pod that fetches mounts it."""
    objects = rendered({**FOLLOWING, "cache": {"enabled": True, "storageClass": "nfs"}})
    claim = objects.one("PersistentVolumeClaim", "-cache")
    assert claim["spec"]["storageClassName"] == "nfs"
    for component in ("server", "rollout", "follower"):
        assert {
            "name": "cache",
            "persistentVolumeClaim": {"claimName": "shop-modelsync-cache"},
        } in (objects.pod(component)["spec"]["volumes"])
        mounts = {
            one["name"]: one["mountPath"] for one in objects.container(component)["volumeMounts"]
        }
        assert objects.environment(component)["MODELSYNC_GIT_CACHE"] == mounts["cache"]
    theirs = rendered({**FOLLOWING, "cache": {"enabled": True, "existingClaim": "mirror"}})
    assert "PersistentVolumeClaim" not in theirs.kinds
    assert {"name": "cache", "persistentVolumeClaim": {"claimName": "mirror"}} in theirs.pod()[
        "spec"
    ]["volumes"]
