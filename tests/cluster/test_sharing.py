"""Two releases of one repository behind one host (`git.models`), each with pods of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from tests.cluster.cluster import Cluster, Namespace
from tests.cluster.test_install import CHART, chart, roll_out
from tests.fixtures.git import GitServer
from tests.fixtures.service import answers
from tests.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

KIND = "nginx.org/mergeable-ingress-type"


def test_a_heavy_model_has_pods_of_its_own(
    cluster: Cluster, namespace: Namespace, image: str, git: GitServer, tmp_path: Path
) -> None:
    """Clients see one service: each path is answered by the release that has the model, a model
    whose name begins alike too; a push that breaks a model is rejected by its release alone.
    """
    files = {f"{name}/etls.py": answers(name, name) for name in ("Heavy", "HeavyToo", "Small")}
    git.push({**files, "common.py": ""})
    host = f"{namespace.name}.modelsync.test"
    namespace.apply(master(host))
    for name, models in (("heavy", ["Heavy"]), ("rest", ["-Heavy"])):
        values = {
            "replicaCount": 1,
            "git": {"path": git.url, "protocols": "http", "models": models},
            "sync": {"schedule": "off"},
            "ingress": {"enabled": True, "hosts": [host], "annotations": {KIND: "minion"}},
        }
        namespace.helm("install", name, str(CHART), *chart(tmp_path, image, values))

    def asked(path: str) -> requests.Response:
        return cluster.post(host, f"/models/{path}", {"variables": {}})

    for name in ("Heavy", "HeavyToo", "Small"):
        until(lambda: asked(name).json() == {"value": name}, 60, name)  # noqa: B023
    assert set(asked("all").json()) == {"HeavyToo", "Small"}
    assert models_of(namespace, "heavy") == {"Heavy"}
    assert models_of(namespace, "rest") == {"HeavyToo", "Small"}
    broken = git.push({"Heavy/etls.py": "import nowhere\n"})
    roll_out(namespace, "rest-modelsync-rollout")
    until(lambda: asked("Small").headers["X-Modelsync-Release"] == broken, 60, "rest has the push")
    with pytest.raises(AssertionError, match="failed"):
        roll_out(namespace, "heavy-modelsync-rollout")
    assert asked("Heavy").json() == {"value": "Heavy"}


def master(host: str) -> dict[str, Any]:
    """What F5's controller needs to merge Ingresses of one host."""
    return {
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
        "metadata": {"name": "host", "annotations": {KIND: "master"}},
        "spec": {"ingressClassName": "nginx", "rules": [{"host": host}]},
    }  # fmt: skip


def models_of(namespace: Namespace, release: str) -> set[str]:
    """The models that a pod of a release lists."""
    selector = f"app.kubernetes.io/instance={release},app.kubernetes.io/component=server"
    found = namespace.get("pods", f"--selector={selector}")
    (pod,) = [one for one in found if "deletionTimestamp" not in one["metadata"]]
    answer = requests.post(
        f"http://{pod['status']['podIP']}:8080/models/all", json={"variables": {}}, timeout=30
    )
    return set(answer.json())
