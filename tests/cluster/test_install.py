"""The chart and the manifests on a real cluster, under the restricted Pod Security Standard: in,
up, and out again.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import time
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from tests.cluster.cluster import Cluster, Namespace
from tests.cluster.shop import asked
from tests.fixtures.git import GitServer
from tests.fixtures.service import answers
from tests.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "modelsync"
PREVIOUS = sorted((ROOT / "tests" / "chart" / "previous").glob("modelsync-*.tgz"))[-1]
KEPT_BY_KUBERNETES = {"configmap/kube-root-ca.crt", "serviceaccount/default"}

Helm = Literal[3, 4]
Values = dict[str, Any]


def both_helms(first: Helm) -> pytest.MarkDecorator:
    """The test with Helm 3 and 4; with `first` it is in CI's selection."""
    return pytest.mark.parametrize(
        "helm",
        [
            pytest.param(
                helm,
                id=f"helm {helm}",
                marks=pytest.mark.smoke if helm == first else pytest.mark.repeats,
            )
            for helm in (3, 4)
        ],
    )


def chart(folder: Path, image: str, values: Values) -> list[str]:
    """Arguments of helm for these values with our image, and pods that a small node can hold."""
    repository, _, tag = image.rpartition(":")
    small: Values = {
        "image": {"repository": repository, "tag": tag},
        "resources": {"requests": {"cpu": "20m", "memory": "64Mi"}},
        "rollout": {"resources": {"requests": {"cpu": "20m", "memory": "64Mi"}}},
        "lifecycle": {"preStopSleepSeconds": 2},
    }
    file = folder / f"values-{time.monotonic_ns()}.yaml"
    file.write_text(yaml.safe_dump(small | values))
    return ["--values", str(file), "--wait", "--timeout", "240s"]


def ingress(host: str) -> Values:
    """The way in under a name of the test's own."""
    return {
        "ingress": {
            "enabled": True,
            "hosts": [host],
            "annotations": {"nginx.org/use-cluster-ip": "true"},
        }
    }


def left(namespace: Namespace) -> set[str]:
    """Everything in the namespace but what Kubernetes puts there itself, and Events."""
    kinds = namespace.kubectl(
        "api-resources", "--namespaced", "--verbs=list,delete", "--output=name"
    ).split()
    kinds = [
        kind for kind in kinds if not kind.startswith("events") and "metrics.k8s.io" not in kind
    ]
    found = namespace.get(",".join(kinds), "--ignore-not-found")
    names = {f"{one['kind'].lower()}/{one['metadata']['name']}" for one in found}
    return names - KEPT_BY_KUBERNETES


def gone(namespace: Namespace) -> bool:
    """Whether nothing is left; AssertionError with what is."""
    found = left(namespace)
    assert found == set(), found
    return True


def roll_out(namespace: Namespace, cronjob: str) -> None:
    """What a webhook would run: a job from the CronJob, to its end."""
    job = f"now-{time.monotonic_ns()}"
    namespace.kubectl("create", "job", f"--from=cronjob/{cronjob}", job)

    def ended() -> str:
        (found,) = namespace.get("job", job)
        conditions = {
            one["type"] for one in found["status"].get("conditions", ()) if one["status"] == "True"
        }
        return (
            "complete" if "Complete" in conditions else "failed" if "Failed" in conditions else ""
        )

    assert until(ended, 240, "the job has ended") == "complete", namespace.kubectl(
        "logs", f"job/{job}"
    )


def pinned(namespace: Namespace, deployment: str) -> str:
    (found,) = namespace.get("deployment", deployment)
    annotations: dict[str, str] = found["spec"]["template"]["metadata"]["annotations"]
    return annotations.get("modelsync.dev/revision", "")


def admin_token(namespace: Namespace, secret: str) -> str:
    (found,) = namespace.get("secret", secret)
    return base64.b64decode(found["data"]["admin-tokens"]).decode()


def claim(name: str, *, volume: str) -> dict[str, Any]:
    """A claim of a volume that the cluster has."""
    return {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
        "spec": {
            "accessModes": ["ReadWriteMany"], "volumeName": volume,
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }  # fmt: skip


def succeeds(namespace: Namespace, pod: str, helm: Helm) -> None:
    """`helm test` goes well; where it does not, its pod is there and says why."""
    try:
        said = namespace.helm("test", "shop", version=helm)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{namespace.kubectl('logs', pod)}") from None
    assert re.search(r"Phase: +Succeeded", said)


@both_helms(first=3)
def test_nothing_set(namespace: Namespace, image: str, tmp_path: Path, helm: Helm) -> None:
    """The minimal values give a service that answers for the models in the image; uninstalled,
    nothing is left.
    """
    minimal = yaml.safe_load((CHART / "ci" / "minimal-values.yaml").read_text("utf-8"))
    notes = namespace.helm(
        "install", "shop", str(CHART), *chart(tmp_path, image, minimal), version=helm
    )
    assert "curl -s http://127.0.0.1:8080/models/usage" in notes
    succeeds(namespace, "shop-modelsync-test", helm)
    assert len(admin_token(namespace, "shop-modelsync-auth")) >= 32
    namespace.helm("uninstall", "shop", "--wait", version=helm)
    until(lambda: gone(namespace), 120, "everything is gone")


@both_helms(first=4)
def test_everything_set(
    cluster: Cluster, namespace: Namespace, image: str, git: GitServer, tmp_path: Path, helm: Helm
) -> None:
    """The full values: every object is taken, the pods become ready, a commit is rolled out;
    nothing is left.
    """
    git.push(
        {"models/Iris/etls.py": answers(1), "models/Iris/examples/happy.json": '{"variables": {}}'}
    )
    for name in ("cache", "data"):
        cluster.volume(f"{name}-{namespace.name}")
    full = yaml.safe_load((CHART / "ci" / "full-values.yaml").read_text("utf-8"))
    full["image"] |= dict(zip(("repository", "tag"), image.rsplit(":", 1), strict=True))
    for container in (*full["initContainers"], *full["extraContainers"]):
        container["image"] = image
    full["git"] |= {"path": git.url, "protocols": "http", "lfsUrl": ""}
    full["service"]["nodePort"] += helm
    full["test"]["variables"] = {}
    full["networkPolicy"]["egress"] = [
        {}
    ]  # whatever port the tests' git server and API server have
    data = full["training"]["data"]["existingClaim"]
    namespace.apply(claim(data, volume=f"data-{namespace.name}"))
    namespace.helm("install", "shop", str(CHART), *chart(tmp_path, image, full), version=helm)
    made = {name.partition("/")[0] for name in left(namespace)}
    assert made >= {
        *(
            "configmap",
            "cronjob",
            "daemonset",
            "deployment",
            "horizontalpodautoscaler",
            "httproute",
            "ingress",
            "networkpolicy",
        ),
        *(
            "persistentvolumeclaim",
            "pod",
            "poddisruptionbudget",
            "prometheusrule",
            "role",
            "rolebinding",
            "secret",
        ),
        *("service", "serviceaccount", "servicemonitor"),
    }
    succeeds(namespace, "everything-test", helm)
    roll_out(namespace, "everything-rollout")
    namespace.ready("everything")
    assert len(pinned(namespace, "everything")) == 40
    namespace.helm("uninstall", "shop", "--wait", version=helm)
    namespace.kubectl("delete", "persistentvolumeclaim", data)
    until(lambda: gone(namespace), 180, "everything is gone")
    volumes = (f"{name}-{namespace.name}" for name in ("cache", "data"))
    cluster.kubectl("delete", "persistentvolume", *volumes)


@both_helms(first=4)
def test_upgrade(
    cluster: Cluster, namespace: Namespace, image: str, git: GitServer, tmp_path: Path, helm: Helm
) -> None:
    """From the chart's previous version: pin, memory and token stay, and a client meets no error
    meanwhile.
    """
    git.push({"Echo/etls.py": answers(1)})
    host = f"{namespace.name}.modelsync.test"
    values = {
        "git": {"path": git.url, "protocols": "http"},
        "sync": {"schedule": "off"},
        **ingress(host),
    }
    namespace.helm("install", "shop", str(PREVIOUS), *chart(tmp_path, image, values), version=helm)
    roll_out(namespace, "shop-modelsync-rollout")
    pin, token = pinned(namespace, "shop-modelsync"), admin_token(namespace, "shop-modelsync-auth")
    memory = namespace.get("configmap", "shop-modelsync-rollout")[0]["data"]
    assert memory["good"] == pin
    until(lambda: cluster.post(host, "/models/Echo", {"variables": {}}).ok, 30, "nginx knows us")
    with asked(cluster, host, "/models/Echo") as (answered, wrong):
        namespace.helm("upgrade", "shop", str(CHART), *chart(tmp_path, image, values), version=helm)
        changed = {**values, "settings": {"MODELSYNC_THREADS": 7}}
        namespace.helm(
            "upgrade", "shop", str(CHART), *chart(tmp_path, image, changed), version=helm
        )
        namespace.ready("shop-modelsync")
    assert wrong == []
    assert pinned(namespace, "shop-modelsync") == pin
    assert admin_token(namespace, "shop-modelsync-auth") == token
    assert namespace.get("configmap", "shop-modelsync-rollout")[0]["data"] == memory
    print(
        f"\nfrom {PREVIOUS.stem}: pinned to {pin[:12]} before and after; 0 of {len(answered)} "
        "requests failed"
    )


def test_a_new_chart_alone_restarts_nothing(
    namespace: Namespace, image: str, tmp_path: Path
) -> None:
    """Another version of the chart with the same values leaves every pod as it is."""
    newer = shutil.copytree(CHART, tmp_path / "modelsync")
    definition = yaml.safe_load((newer / "Chart.yaml").read_text("utf-8"))
    (newer / "Chart.yaml").write_text(yaml.safe_dump({**definition, "version": "99.0.0"}))
    arguments = chart(tmp_path, image, {})
    namespace.helm("install", "shop", str(CHART), *arguments)
    before = {pod["metadata"]["uid"] for pod in namespace.get("pods")}
    namespace.helm("upgrade", "shop", str(newer), *arguments)
    (deployment,) = namespace.get("deployment", "shop-modelsync")
    assert deployment["metadata"]["labels"]["helm.sh/chart"] == "modelsync-99.0.0"
    assert {pod["metadata"]["uid"] for pod in namespace.get("pods")} == before


def test_manifests(namespace: Namespace, image: str, git: GitServer, tmp_path: Path) -> None:
    """`kubectl apply -k k8s/` after editing one file: pods serve the repository, the rollout works;
    nothing is left.
    """
    git.push({"Echo/etls.py": answers(1)})
    folder = shutil.copytree(ROOT / "k8s", tmp_path / "k8s")
    file = folder / "kustomization.yaml"
    repository, _, tag = image.rpartition(":")
    text = file.read_text("utf-8")
    for line, edited in (
        ("namespace: default", f"namespace: {namespace.name}"),
        ("newName: modelsync", f"newName: {repository}"),
        ('newTag: "0.1.0"', f"newTag: {tag}"),
        ("- gitPath=", f"- gitPath={git.url}\n      - MODELSYNC_GIT_PROTOCOLS=http"),
        ("# - MODELSYNC_ADMIN_TOKENS_FILE", "- MODELSYNC_ADMIN_TOKENS_FILE"),
    ):
        assert text.count(line) == 1
        text = text.replace(line, edited)
    file.write_text(text)
    namespace.kubectl(
        "create", "secret", "generic", "modelsync-auth", "--from-literal=admin-tokens=secret"
    )
    namespace.kubectl("apply", "-k", str(folder))
    namespace.ready("modelsync")
    roll_out(namespace, "modelsync-rollout")
    pin = pinned(namespace, "modelsync")
    assert len(pin) == 40
    again = namespace.kubectl("apply", "-k", str(folder))
    assert pinned(namespace, "modelsync") == pin
    changed = set(re.findall(r"^(\S+) (?!unchanged)", again, re.MULTILINE))
    assert changed <= {
        "poddisruptionbudget.policy/modelsync"
    }  # kubectl patches its selector at each time
    namespace.kubectl("delete", "-k", str(folder), "--wait")
    namespace.kubectl("delete", "secret", "modelsync-auth")
    until(lambda: gone(namespace), 180, "everything is gone")


@pytest.mark.alone
def test_the_autoscaler_adds_pods_under_load(
    cluster: Cluster, namespace: Namespace, image: str, tmp_path: Path
) -> None:
    """More load than the pods' target gives more pods."""
    host = f"{namespace.name}.modelsync.test"
    scaling = {
        "enabled": True,
        "minReplicas": 1,
        "maxReplicas": 2,
        "targetCPUUtilizationPercentage": 60,
    }
    arguments = chart(tmp_path, image, {"autoscaling": scaling, **ingress(host)})
    namespace.helm("install", "shop", str(CHART), *arguments)

    def metrics_known() -> bool:
        (scaler,) = namespace.get("horizontalpodautoscaler", "shop-modelsync")
        return bool(scaler["status"].get("currentMetrics"))

    until(metrics_known, 120, "the autoscaler knows what the pods use")
    flower = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
    until(
        lambda: cluster.post(host, "/models/Iris", {"variables": flower}).ok, 30, "nginx knows us"
    )

    def scaled() -> int:
        for _ in range(50):
            cluster.post(host, "/models/Iris", {"variables": flower})
        (scaler,) = namespace.get("horizontalpodautoscaler", "shop-modelsync")
        assert scaler["status"]["currentReplicas"] > 1, json.dumps(scaler["status"])
        return int(scaler["status"]["currentReplicas"])

    started = time.monotonic()
    replicas = until(scaled, 180, "there are more pods")
    print(f"\n{replicas} pods after {time.monotonic() - started:.0f} s of load")
