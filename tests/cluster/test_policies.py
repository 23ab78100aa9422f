"""Network policies, enforced: what the chart's pods reach, and who reaches them."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.cluster.cluster import Cluster, Namespace
from tests.cluster.test_install import CHART, chart, ingress, pinned, roll_out
from tests.cluster.test_smoke import deployment
from tests.fixtures.git import GitServer
from tests.fixtures.service import answers
from tests.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

REACHES = (
    "import socket, sys\n"
    "one = socket.socket()\n"
    "one.settimeout(3)\n"
    "print(one.connect_ex((sys.argv[1], int(sys.argv[2]))))\n"
)


def reaches(namespace: Namespace, pod: str, host: str, port: int) -> bool:
    """Whether a pod, such as `deployment/name`, can connect to an address."""
    found = namespace.kubectl("exec", pod, "--", "python", "-c", REACHES, host, str(port))
    return found.strip() == "0"


def test_a_pod_reaches_what_it_needs_and_nothing_else(
    cluster: Cluster, namespace: Namespace, image: str, git: GitServer, tmp_path: Path
) -> None:
    """With networkPolicy.enabled the service answers through nginx and is rolled out; but its pods
    reach neither another pod nor the metadata service, and no other pod reaches them.
    """
    if not cluster.enforces_policies:
        pytest.skip("whether this cluster enforces network policies is not known")
    git.push({"Echo/etls.py": answers(1)})
    host = f"{namespace.name}.modelsync.test"
    nodes = [
        {"ipBlock": {"cidr": f"{address['address']}/32"}}
        for node in cluster.get("nodes")
        for address in node["status"]["addresses"]
        if address["type"] == "InternalIP"
    ]
    values: dict[str, Any] = {
        "git": {"path": git.url, "protocols": "http"},
        "sync": {"schedule": "off"},
        # nginx is on the nodes' own network; `egress` is what somebody writes who wants "port 80".
        "networkPolicy": {"enabled": True, "from": nodes, "egress": [{"ports": [{"port": 80}]}]},
        **ingress(host),
    }
    namespace.apply(deployment(image, {}))
    namespace.helm("install", "shop", str(CHART), *chart(tmp_path, image, values))
    namespace.ready("smoke")
    ours, stranger = "deployment/shop-modelsync", "deployment/smoke"
    address = {
        name: namespace.get("pods", f"--selector={label}")[0]["status"]["podIP"]
        for name, label in (
            (ours, "app.kubernetes.io/component=server"), (stranger, "app=smoke"),
        )
    }  # fmt: skip

    with cluster.metadata_service() as metadata:
        assert until(lambda: reaches(namespace, stranger, *metadata), 30, "it is there")
        assert until(lambda: not reaches(namespace, ours, *metadata), 60, "it is out of reach")
    assert not reaches(namespace, ours, address[stranger], 8080)
    assert not reaches(namespace, stranger, address[ours], 8080)
    assert reaches(namespace, stranger, address[stranger], 8080)

    repository = urlsplit(git.url)
    assert reaches(namespace, ours, str(repository.hostname), int(repository.port or 80))
    roll_out(namespace, "shop-modelsync-rollout")
    assert len(pinned(namespace, "shop-modelsync")) == 40
    namespace.ready("shop-modelsync")
    assert until(lambda: cluster.post(host, "/models/Echo", {"variables": {}}), 30).json() == {
        "value": 1
    }
