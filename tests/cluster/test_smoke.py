"""The cluster itself: that what the other tests stand on is what they think it is."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any, Literal

import pytest
import requests

from tests.cluster.cluster import Cluster, Namespace
from tests.fixtures.git import GitServer
from tests.fixtures.service import answers
from tests.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

FLOWER = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
LABELS = {"app": "smoke"}


def deployment(image: str, environ: dict[str, str]) -> dict[str, Any]:
    """The image as it is, under the restricted standard."""
    container = {
        "name": "server", "image": image, "imagePullPolicy": "IfNotPresent",
        "ports": [{"containerPort": 8080}],
        "env": [{"name": name, "value": value} for name, value in environ.items()],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "state", "mountPath": "/var/lib/modelsync"}],
    }  # fmt: skip
    pod = {
        "enableServiceLinks": False, "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 10,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": 10001, "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container], "volumes": [{"name": "state", "emptyDir": {}}],
    }  # fmt: skip
    return {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "smoke"},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": LABELS},
            "template": {"metadata": {"labels": LABELS}, "spec": pod},
        },
    }  # fmt: skip


def way_in(namespace: Namespace) -> list[dict[str, Any]]:
    service = {
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "smoke"},
        "spec": {"selector": LABELS, "ports": [{"port": 80, "targetPort": 8080}]},
    }  # fmt: skip
    path = {
        "path": "/",
        "pathType": "Prefix",
        "backend": {"service": {"name": "smoke", "port": {"number": 80}}},
    }
    rule = {"host": host_of(namespace), "http": {"paths": [path]}}
    ingress = {
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "smoke", "annotations": {"nginx.org/use-cluster-ip": "true"}},
        "spec": {"ingressClassName": "nginx", "rules": [rule]},
    }  # fmt: skip
    return [service, ingress]


def host_of(namespace: Namespace) -> str:
    """A name of the test's own: tests run side by side."""
    return f"{namespace.name}.modelsync.test"


def answer(cluster: Cluster, namespace: Namespace, path: str, variables: Any) -> Any:
    response = cluster.post(host_of(namespace), f"/models/{path}", {"variables": variables})
    assert response.status_code == 200, (response.status_code, response.text[:300])
    return response.json()


@pytest.fixture(scope="module")
def plain(cluster: Cluster, image: str) -> Iterator[Namespace]:
    """A namespace with a plain Deployment of our image, and the way in."""
    with Namespace(cluster, f"plain-{time.monotonic_ns() % 10**9}") as namespace:
        namespace.apply(deployment(image, {}), *way_in(namespace))
        namespace.ready("smoke")
        yield namespace


@pytest.mark.smoke
@pytest.mark.xdist_group("plain")
def test_pods_of_our_image_answer_through_the_ingress_controller(
    cluster: Cluster, plain: Namespace
) -> None:
    """A plain Deployment of our image answers a POST that comes through nginx."""
    flower = until(lambda: answer(cluster, plain, "Iris", FLOWER), 30)
    print(f"\nthrough {cluster.ingress}: {flower}")
    assert flower


def test_pods_reach_a_git_server_of_the_tests(
    cluster: Cluster, namespace: Namespace, image: str, git: GitServer
) -> None:
    """A pod serves what a push to the tests' own git server holds."""
    git.push({"Echo/etls.py": answers(1)})
    namespace.apply(
        deployment(image, {"gitPath": git.url, "MODELSYNC_GIT_PROTOCOLS": "http"}),
        *way_in(namespace),
    )
    namespace.ready("smoke")
    assert until(lambda: answer(cluster, namespace, "Echo", {}), 30) == {"value": 1}


@pytest.mark.alone
def test_the_api_server_can_be_stopped_and_started(cluster: Cluster) -> None:
    """While the API server is away nothing answers there; what it knew is there afterwards."""
    if not cluster.can_stop_api_server:
        pytest.skip("the API server of this cluster is not ours to stop")
    before = cluster.get("namespaces", "kube-system")[0]["metadata"]["uid"]
    with cluster.without_api_server(), pytest.raises(AssertionError):
        cluster.kubectl("get", "nodes", timeout=30)
    assert cluster.get("namespaces", "kube-system")[0]["metadata"]["uid"] == before


def test_metrics_of_pods_are_there(cluster: Cluster) -> None:
    """The autoscaler's source knows what the cluster's own pods use."""
    assert "coredns" in until(
        lambda: cluster.kubectl("top", "pods", "--namespace", "kube-system"), 60
    )


def test_the_restricted_standard_is_enforced(namespace: Namespace) -> None:
    """A pod that does not say that it runs without privileges is turned away."""
    pod = {"name": "any", "image": "localhost/any"}
    with pytest.raises(AssertionError, match="violates PodSecurity"):
        namespace.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "any"},
                "spec": {"containers": [pod]},
            }
        )


@pytest.mark.parametrize("version", [3, 4])
def test_both_helms_speak_to_the_cluster(cluster: Cluster, version: Literal[3, 4]) -> None:
    """Helm 3 and 4 are what they are called, and may list releases."""
    assert f"v{version}." in cluster.helm("version", version=version)
    assert json.loads(cluster.helm("list", "--output=json", version=version)) == []


def test_a_volume_is_shared_by_pods_of_all_nodes(
    cluster: Cluster, namespace: Namespace, image: str
) -> None:
    """What a pod of our user writes to a volume on one node, a pod on another node reads."""
    if not cluster.shares_volumes:
        pytest.skip("the volumes of this cluster are not ours to make")
    cluster.volume(namespace.name)
    claim = {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "shared"},
        "spec": {
            "accessModes": ["ReadWriteMany"], "volumeName": namespace.name,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }  # fmt: skip
    server = deployment(image, {})
    pod = server["spec"]["template"]["spec"]
    pod["volumes"].append({"name": "shared", "persistentVolumeClaim": {"claimName": "shared"}})
    pod["containers"][0]["volumeMounts"].append({"name": "shared", "mountPath": "/shared"})
    alone = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": LABELS}}
    if len(cluster.nodes) > 1:
        pod["affinity"] = {
            "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [alone]}
        }
    namespace.apply(claim, server)
    namespace.ready("smoke")
    one, other = (pod["metadata"]["name"] for pod in namespace.get("pods"))
    namespace.kubectl("exec", one, "--", "sh", "-c", "echo $HOSTNAME >/shared/who")
    assert namespace.kubectl("exec", other, "--", "cat", "/shared/who").strip() == one


@pytest.mark.xdist_group("plain")
def test_names_of_services_resolve_in_pods(plain: Namespace) -> None:
    """A pod finds a Service by its name, and names outside of the cluster are unknown at once."""
    code = "import socket; print(socket.gethostbyname('smoke'))"
    address = plain.kubectl("exec", "deployment/smoke", "--", "python", "-c", code).strip()
    assert address == plain.get("service", "smoke")[0]["spec"]["clusterIP"]
    with pytest.raises(AssertionError, match="Name or service not known"):
        plain.kubectl(
            "exec", "deployment/smoke", "--", "python", "-c", code.replace("smoke", "example.org")
        )


def test_nothing_else_answers_on_the_ingress(cluster: Cluster) -> None:
    """A host that no Ingress names gets nginx's own 404."""
    answer = requests.get(cluster.ingress, headers={"Host": "nobody.modelsync.test"}, timeout=5)
    assert answer.status_code == 404
    assert "nginx" in answer.headers["Server"]
