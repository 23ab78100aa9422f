"""Where everything of the cluster is: one folder, one bridge, one network that is routed nowhere
else.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

KUBERNETES = "1.36.3"

BRIDGE = "modelsync0"
HOST = "198.18.0.1"
"""The machine's own address on the bridge: the API server listens there, and what the tests start
for pods.
"""
API_PORT = 6443
PODS = "198.18.0.0/16"
SERVICES = "198.19.0.0/16"
API_SERVICE = "198.19.0.1"
DNS_SERVICE = "198.19.0.10"
CGROUP = "modelsync-cluster"


@dataclass(frozen=True)
class Layout:
    """The cluster's folders below the user's cache."""

    cache: Path

    @property
    def run(self) -> Path:
        """State and logs of the running cluster; gone after `make cluster-down`."""
        return self.cache / "run"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.run / "pki"

    @property
    def logs(self) -> Path:
        """Logs and pid files of the processes."""
        return self.run / "logs"

    @property
    def description(self) -> Path:
        """What the tests need to know of the cluster, as JSON."""
        return self.run / "cluster.json"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.run / "kubeconfig"

    @property
    def volumes(self) -> Path:
        """Folders behind persistent volumes; every node sees the same ones."""
        return self.run / "volumes"

    @property
    def nodes(self) -> list[Place]:
        """The nodes to make, MODELSYNC_TEST_NODES or two, and those that are there."""
        numbers = set(range(1, int(os.environ.get("MODELSYNC_TEST_NODES") or 2) + 1))
        numbers |= {int(folder.name.removeprefix("node-")) for folder in self.run.glob("node-*")}
        return [Place(number, self.run / f"node-{number}") for number in sorted(numbers)]


@dataclass(frozen=True)
class Place:
    """A node's number and what follows from it."""

    number: int
    folder: Path

    @property
    def name(self) -> str:
        """Its name in the cluster."""
        return f"node-{self.number}"

    @property
    def address(self) -> str:
        """Its address on the bridge."""
        return f"198.18.0.{10 + self.number}"

    @property
    def pods(self) -> str:
        """The network of its pods."""
        return f"198.18.{self.number}.0/24"

    @property
    def interface(self) -> str:
        """The bridge's end of its link."""
        return f"{BRIDGE}-{self.number}"

    @property
    def containerd(self) -> Path:
        """The socket of its container runtime."""
        return self.folder / "containerd.sock"


def layout() -> Layout:
    """Return the layout below the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Layout(Path(cache) / "modelsync-cluster")
