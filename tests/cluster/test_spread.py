"""Which nodes the scheduler chooses for the pods that serve."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.cluster.cluster import Cluster, Namespace
from tests.cluster.shop import CHART
from tests.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

ZONE = "topology.kubernetes.io/zone"
TRIES = 3
"""Without a rule four pods were on one of two nodes in every second try."""

VALUES = {
    "image": {"repository": "localhost/never-pulled", "pullPolicy": "Never"},
    "replicaCount": 4,
    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
}
"""No container has to start: a node is chosen before."""


@contextmanager
def zones(cluster: Cluster) -> Iterator[None]:
    """Each node is a zone of its own meanwhile."""
    try:
        for number, node in enumerate(cluster.nodes):
            cluster.kubectl("label", "node", node, f"{ZONE}=zone-{number}")
        yield
    finally:
        cluster.kubectl("label", "nodes", "--all", f"{ZONE}-")


def spread(namespace: Namespace, release: str, values: Path) -> Counter[str]:
    """How many of four new pods are on each node."""
    namespace.helm("install", release, str(CHART), "--values", str(values))

    def placed() -> list[str]:
        pods = namespace.get("pods", f"--selector=app.kubernetes.io/instance={release}")
        names = [pod["spec"].get("nodeName") for pod in pods]
        assert len(names) == VALUES["replicaCount"]
        assert all(names), names
        return [str(name) for name in names]

    nodes = until(placed, 60, "each pod has a node")
    namespace.helm("uninstall", release)
    return Counter(nodes)


@pytest.mark.alone
def test_pods_are_spread_over_nodes(cluster: Cluster, namespace: Namespace, tmp_path: Path) -> None:
    """Four pods are two and two on two nodes, whether these have a label of their zone or not."""
    if len(cluster.nodes) != 2 or any(ZONE in one["metadata"]["labels"] for one in nodes(cluster)):
        pytest.skip("this wants two nodes without zones")
    values = tmp_path / "values.yaml"
    values.write_text(yaml.safe_dump(VALUES))
    for number in range(TRIES):
        found = spread(namespace, f"bare-{number}", values)
        assert sorted(found.values()) == [2, 2], found
    with zones(cluster):
        for number in range(TRIES):
            found = spread(namespace, f"zoned-{number}", values)
            assert sorted(found.values()) == [2, 2], found


def nodes(cluster: Cluster) -> list[dict[str, dict[str, dict[str, str]]]]:
    return cluster.get("nodes")
