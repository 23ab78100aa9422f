"""The cluster that `make cluster` brought up, as the tests use it: kubectl, helm, namespaces, the
way in.

namespace.helm("install", "m", CHART, "--set", ..., version=3)
namespace.kubectl("rollout", "status", "deployment/m")
namespace.get("pods")[0]["status"]["podIP"]
with cluster.without_api_server(): ...
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import requests
import yaml

from scripts.cluster import controlplane, node
from scripts.cluster.daemon import Daemon
from scripts.cluster.description import Description
from scripts.cluster.layout import Layout, Place
from tests.waiting import until

Object = dict[str, Any]

METADATA = "169.254.169.254"
"""Where most clouds have their metadata service."""


class Cluster:
    """A cluster that is up. A command that fails raises AssertionError with what it said: `until`
    then tries again.
    """

    def __init__(self, layout: Layout, description: Description) -> None:
        self._layout = layout
        self._description = description
        self.host = description.host
        self.ingress = description.ingress

    @property
    def kubeconfig(self) -> Path:
        return Path(self._description.kubeconfig)

    @property
    def environ(self) -> dict[str, str]:
        """For programs that speak to the cluster by themselves."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    def kubectl(self, *arguments: str, stdin: str = "", timeout: float = 300) -> str:
        """Run kubectl and return what it printed."""
        return self._run("kubectl", *arguments, stdin=stdin, timeout=timeout)

    def helm(self, *arguments: str, version: Literal[3, 4] = 4, timeout: float = 600) -> str:
        """Run this version of helm and return what it printed."""
        program = f"helm{version}" if self._description.programs else "helm"
        return self._run(program, *arguments, timeout=timeout)

    def get(self, kind: str, *arguments: str) -> list[Object]:
        """Return objects of a kind; `arguments` are kubectl's: names, selectors, a namespace."""
        found = json.loads(self.kubectl("get", kind, *arguments, "--output=json"))
        items: list[Object] = found.get("items", [found])
        return items

    def apply(self, *objects: Object, namespace: str = "default") -> None:
        """Apply objects as `kubectl apply` does."""
        self.kubectl(
            "apply", "--namespace", namespace, "--filename=-", stdin=yaml.safe_dump_all(objects)
        )

    @property
    def nodes(self) -> list[str]:
        return sorted(node["metadata"]["name"] for node in self.get("nodes"))

    def post(self, host: str, path: str, body: Any, **options: Any) -> requests.Response:
        """POST JSON through the ingress controller, as a client of `host` would."""
        return requests.post(
            f"{self.ingress}{path}", json=body, headers={"Host": host}, timeout=30, **options
        )

    @contextmanager
    def drained(self, node: str) -> Iterator[None]:
        """Drain the node as an administrator would; it takes pods again afterwards."""
        try:
            self.kubectl(
                "drain", node, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=240s"
            )
            yield
        finally:
            self.kubectl("uncordon", node)

    @property
    def can_stop_api_server(self) -> bool:
        return self._description.kind == "own"

    @contextmanager
    def without_api_server(self) -> Iterator[None]:
        """The API server is away meanwhile; pods and nodes live on without it.

        So are the controllers, which come back when every kube-proxy has: these ask for it less and
        less often, and a pod that is removed before they know of it gets requests to the last.
        """
        api, *others = (
            self._daemon(f"kube-{name}")
            for name in ("apiserver", "controller-manager", "scheduler")
        )
        for daemon in (*others, api):
            daemon.stop()
        try:
            yield
        finally:
            api.start()
            until(lambda: self.kubectl("get", "--raw", "/readyz"), 60, "the API server answers")
            self._wait_for_proxies()
            for daemon in others:
                daemon.start()

    @property
    def enforces_policies(self) -> bool:
        """Whether our agent enforces network policies, and `metadata_service` can be used."""
        agent = Path(self._description.programs, "kube-router")
        return self._description.kind == "own" and agent.exists()

    @contextmanager
    def metadata_service(self) -> Iterator[tuple[str, int]]:
        """On every node something listens where clouds have their metadata service; its address and
        port. This machine's own is not touched: each node has its own network.
        """
        with ExitStack() as stack:
            for place in self._layout.nodes:
                inside = self._inside(place)
                address, where = [*inside, "ip", "address"], [f"{METADATA}/32", "dev", "lo"]
                subprocess.run([*address, "replace", *where], check=True)
                stack.callback(subprocess.run, [*address, "delete", *where], check=False)
                server = [sys.executable, "-m", "http.server", "--bind", METADATA, "80"]
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                process = stack.enter_context(
                    subprocess.Popen([*inside, *server], cwd=folder, stderr=subprocess.DEVNULL)
                )
                stack.callback(process.terminate)
            yield METADATA, 80

    def _wait_for_proxies(self) -> None:
        """Return when the rules of every node have an endpoint that is new."""
        name = f"new-{time.monotonic_ns()}"
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}}
        endpoints = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": name}},
        }
        self.apply(
            {**service, "spec": {"ports": [{"port": 9}]}},
            {
                **endpoints,
                "addressType": "IPv4",
                "ports": [{"port": 9}],
                "endpoints": [{"addresses": [self.host]}],
            },
        )
        for place in self._layout.nodes:
            until(partial(self._knows, place, name), 60, f"{place.name} follows")
        self.kubectl("delete", "services,endpointslices", name)

    def _knows(self, place: Place, service: str) -> bool:
        """Whether the rules of a node have an endpoint of a Service."""
        rules = subprocess.run(
            [*self._inside(place), "nft", "list", "table", "ip", "kube-proxy"],
            capture_output=True,
            text=True,
            check=True,
        )
        return re.search(rf"goto service-\w+-default/{service}/", rules.stdout) is not None

    def _inside(self, place: Place) -> list[str]:
        """What a command begins with that runs in the network of a node."""
        pid = node.daemon(self._layout, place, Path(self._description.programs)).pid
        return ["nsenter", f"--target={pid}", "--net"]

    @property
    def shares_volumes(self) -> bool:
        """Whether `volume` can be used here."""
        return bool(self._description.volumes)

    def volume(self, name: str, size: str = "1Gi") -> None:
        """Make a volume that pods of all nodes may write to at once, for one claim of the default
        storage class.
        """
        folder = Path(self._description.volumes) / name
        folder.mkdir(parents=True, exist_ok=True)
        somewhere = {"key": "kubernetes.io/hostname", "operator": "In", "values": self.nodes}
        self.apply({
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {
                "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce", "ReadWriteMany"],
                "storageClassName": "shared", "persistentVolumeReclaimPolicy": "Retain",
                "local": {"path": str(folder)},
                "nodeAffinity": {
                    "required": {"nodeSelectorTerms": [{"matchExpressions": [somewhere]}]},
                },
            },
        })  # fmt: skip

    def _daemon(self, name: str) -> Daemon:
        daemons = controlplane.daemons(self._layout, Path(self._description.programs))
        return next(daemon for daemon in daemons if daemon.name == name)

    def _run(self, program: str, *arguments: str, stdin: str = "", timeout: float) -> str:
        folder = self._description.programs
        command = [str(Path(folder) / program) if folder else program, *arguments]
        done = subprocess.run(
            command,
            input=stdin,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        assert done.returncode == 0, f"{program} {' '.join(arguments)}: {done.stderr}{done.stdout}"
        return done.stdout


class Namespace:
    """A namespace of a test's own, under the restricted Pod Security Standard; the cluster's
    commands act in it.
    """

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.cluster = cluster
        self.name = name

    def __enter__(self) -> Namespace:
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.cluster.apply(
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": {"name": self.name, "labels": labels},
            }
        )
        until(
            lambda: self.get("serviceaccount", "default"), 30, "pods may be made in the namespace"
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Have it removed: the cluster does so while the next test runs, which has another."""
        self.cluster.kubectl("delete", "namespace", self.name, "--wait=false")

    def kubectl(self, *arguments: str, stdin: str = "", timeout: float = 300) -> str:
        return self.cluster.kubectl(
            "--namespace", self.name, *arguments, stdin=stdin, timeout=timeout
        )

    def helm(self, *arguments: str, version: Literal[3, 4] = 4, timeout: float = 600) -> str:
        return self.cluster.helm(
            "--namespace", self.name, *arguments, version=version, timeout=timeout
        )

    def get(self, kind: str, *arguments: str) -> list[Object]:
        return self.cluster.get(kind, "--namespace", self.name, *arguments)

    def apply(self, *objects: Object) -> None:
        self.cluster.apply(*objects, namespace=self.name)

    def ready(self, deployment: str, within: int = 180) -> None:
        """Return when the Deployment is rolled out; AssertionError with the pods' state if it is
        not in time.
        """
        try:
            self.kubectl(
                "rollout",
                "status",
                f"deployment/{deployment}",
                f"--timeout={within}s",
                timeout=within + 30,
            )
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.picture()}") from None

    def picture(self) -> str:
        """What somebody would look at who wants to know why something does not work."""
        parts = [
            self.kubectl("get", "all,ingress,configmaps,events", "--output=wide"),
            *(
                self.kubectl("logs", pod["metadata"]["name"], "--all-containers", "--tail=40")
                for pod in self.get("pods")
                if any(
                    "running" in status["state"]
                    for status in pod["status"].get("containerStatuses", [])
                )
            ),
        ]
        return "\n".join(parts)
