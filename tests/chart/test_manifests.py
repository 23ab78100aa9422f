"""k8s/: what `kubectl apply -k k8s/` would send."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelsync import settings
from scripts import chart_manifests
from tests.chart.rendering import Objects
from tests.chart.test_pods import violations
from tests.chart.validation import validate
from tests.waiting import patient

K8S = Path(__file__).parents[2] / "k8s"
KUSTOMIZATION = K8S / "kustomization.yaml"

kustomize = pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not here")


def build(folder: Path) -> Objects:
    done = subprocess.run(
        ["kubectl", "kustomize", str(folder)], capture_output=True, text=True, timeout=patient(60)
    )
    assert done.returncode == 0, done.stderr
    return Objects(list(yaml.load_all(done.stdout, yaml.CSafeLoader)))


def edited(tmp_path: Path, *changes: tuple[str, str]) -> Objects:
    """The objects of k8s/ with its one file edited; each (pattern, replacement) must fit."""
    folder = shutil.copytree(K8S, tmp_path / "k8s")
    text = KUSTOMIZATION.read_text("utf-8")
    for pattern, replacement in changes:
        text, count = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        assert count, pattern
    (folder / "kustomization.yaml").write_text(text)
    return build(folder)


def test_they_are_the_charts() -> None:
    """`make manifests` would change nothing."""
    assert chart_manifests.main(check=True) == 0


@kustomize
def test_they_are_valid() -> None:
    """Every object is valid for Kubernetes, and every pod fits the Pod Security Standard
    Restricted.
    """
    objects = build(K8S)
    for one in objects.all:
        validate(one)
    for component, pod in objects.pods():
        assert violations(pod) == [], component


def test_there_is_no_secret_and_nothing_of_helm() -> None:
    """No file holds a Secret, names a namespace, or claims to be Helm's."""
    for path in K8S.rglob("*.*"):
        if path != KUSTOMIZATION:
            text = path.read_text("utf-8")
            assert not re.search(r"kind: Secret\b|namespace:|helm\.sh|managed-by", text), path


@kustomize
def test_one_line_follows_a_repository(tmp_path: Path) -> None:
    """With gitPath set in the one file, pods and rollout are told of it; the pods start anew for
    it.
    """
    before = build(K8S)
    after = edited(tmp_path, (r"- gitPath=$", "- gitPath=https://git.example.com/models.git"))
    for component in ("server", "rollout", "follower"):
        assert settings.load(before.environment(component)).standalone
        found = settings.load(after.environment(component))
        assert found.git.path == "https://git.example.com/models.git"
        assert not found.access.admin_tokens
    assert before.container()["envFrom"] != after.container()["envFrom"]
    for component in ("rollout", "follower"):
        assert settings.load(after.environment(component)).rollout.deployment == "modelsync"


@kustomize
def test_the_rollout_may_do_what_it_may_in_the_chart() -> None:
    """kustomize leaves the names in the rollout's Role as they are."""
    rules = build(K8S).one("Role", "-rollout")["rules"]
    assert [rule.get("resourceNames") for rule in rules] == [
        ["modelsync"],
        ["modelsync-rollout"],
        None,
        None,
    ]


@kustomize
def test_secrets_are_mounted_where_they_exist(tmp_path: Path) -> None:
    """The lines for credentials and tokens name files in the volumes of the Secrets that the
    comments make.
    """
    objects = edited(tmp_path, (r"# - (?=MODELSYNC_\w+_FILE)", "- "))
    pod = objects.pod()["spec"]
    volumes = {one["name"]: one["secret"] for one in pod["volumes"] if "secret" in one}
    mounts = {
        one["mountPath"]: volumes[one["name"]]["secretName"]
        for one in pod["containers"][0]["volumeMounts"]
        if one["name"] in volumes
    }
    assert all(one["optional"] for one in volumes.values())
    made = dict(
        re.findall(r"(?:--from-literal|--from-file)=([\w-]+)(=)", KUSTOMIZATION.read_text("utf-8"))
    )
    named = {name: value for name, value in objects.environment().items() if name.endswith("_FILE")}
    assert len(named) == 9
    for name, path in named.items():
        folder, _, file = path.rpartition("/")
        kind = "git" if "GIT" in name else "auth" if re.search("TOKENS|WEBHOOK", name) else "store"
        assert mounts[folder] == f"modelsync-{kind}"
        assert file in {*made, "predict-tokens", "s3-access-key", "s3-secret-key"}
    (store,) = (one for one in volumes.values() if one["secretName"] == "modelsync-store")
    assert [one["path"] for one in store["items"]] == [
        "data-url",
        "database-url",
        "s3-access-key",
        "s3-secret-key",
    ]


@kustomize
def test_components(tmp_path: Path) -> None:
    """Uncommented, each component adds its objects, and the autoscaler takes the replicas over."""
    objects = edited(tmp_path, (r"^# (components:)$", r"\1"), (r"^# ( *- components/)", r"\1"))
    added = set(objects.names) - set(build(K8S).names)
    assert {name for name in added if not name.startswith("ConfigMap/")} == {
        "CronJob/modelsync-job",
        "CronJob/modelsync-train",
        "Deployment/modelsync-canary",
        "Deployment/modelsync-dispatcher",
        "HorizontalPodAutoscaler/modelsync",
        "Ingress/modelsync",
        "NetworkPolicy/modelsync",
        "NetworkPolicy/modelsync-follower",
        "NetworkPolicy/modelsync-rollout",
        "PodDisruptionBudget/modelsync-canary",
        "PrometheusRule/modelsync",
        "Role/modelsync-dispatcher",
        "RoleBinding/modelsync-dispatcher",
        "ServiceAccount/modelsync-dispatcher",
        "Service/modelsync-canary",
        "ServiceMonitor/modelsync",
        "ServiceMonitor/modelsync-follower",
    }
    assert "replicas" not in objects.one("Deployment")["spec"]
    for component in ("server", "job", "dispatcher", "train"):
        found = objects.environment(component)
        assert (found["MODELSYNC_JOBS"], found["MODELSYNC_JOB_TEMPLATE"]) == (
            "kubernetes",
            "modelsync-job",
        )
    rule = objects.one("PrometheusRule")
    assert 'namespace="' not in str(rule["spec"])


@kustomize
def test_namespace_and_image_are_set_in_one_place(tmp_path: Path) -> None:
    """The namespace reaches every object, the rollout's rights too; the image every container."""
    objects = edited(
        tmp_path,
        ("^namespace: default$", "namespace: pricing"),
        ("newName: modelsync$", "newName: registry.example.com/modelsync"),
        ('newTag: "[^"]*"', 'newTag: "7"'),
    )
    assert {one["metadata"]["namespace"] for one in objects.all} == {"pricing"}
    assert [one["namespace"] for one in objects.one("RoleBinding", "-rollout")["subjects"]] == [
        "pricing"
    ]
    for component, _ in objects.pods():
        assert objects.container(component)["image"] == "registry.example.com/modelsync:7"


@kustomize
def test_patches_in_the_comments_fit(tmp_path: Path) -> None:
    """The examples of patches work as soon as they are uncommented."""
    objects = edited(
        tmp_path,
        (r"^# (components:)$", r"\1"),
        (r"^# ( *- components/(ingress|training))", r"\1"),
        (r"^# (patches:|  - target|    patch)", r"\1"),
    )
    assert objects.one("Deployment")["spec"]["replicas"] == 5
    assert "replicas" not in objects.one("Deployment", "-follower")["spec"]
    assert objects.one("CronJob", "-train")["spec"]["suspend"] is False
    assert objects.one("Ingress")["spec"]["rules"][0]["host"] == "models.example.com"


def test_the_image_is_this_version() -> None:
    """The one file starts with the image that this version is."""
    chart: dict[str, Any] = yaml.safe_load(
        (K8S.parent / "helm" / "modelsync" / "Chart.yaml").read_text("utf-8")
    )
    found = yaml.safe_load(KUSTOMIZATION.read_text("utf-8"))
    assert found["images"] == [
        {"name": "modelsync", "newName": "modelsync", "newTag": chart["appVersion"]}
    ]
