"""A cluster by kind, if a Docker engine runs: its nodes are containers, our images and add-ons
go into them.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from scripts.cluster import addons, images, programs
from scripts.cluster.addons import Kubectl
from scripts.cluster.description import Description
from scripts.cluster.layout import Layout

_NAME = "modelsync"
_CONFIG = """
kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
nodes: [{role: control-plane}, {role: worker}]
"""


def chosen() -> bool:
    """Whether kind is here and a Docker engine answers."""
    if not shutil.which("kind") or not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def up(layout: Layout) -> Description:
    """Create the cluster, or use the one that is there."""
    built = programs.build(layout)
    layout.run.mkdir(parents=True, exist_ok=True)
    if _NAME not in _kind("get", "clusters").split():
        _kind(
            "create",
            "cluster",
            "--name",
            _NAME,
            "--kubeconfig",
            str(layout.kubeconfig),
            "--config=-",
            said=_CONFIG,
        )
        for archive in images.archives(layout, built):
            _kind("load", "image-archive", str(archive), "--name", _NAME)
    kubectl = Kubectl(built / "kubectl", layout.kubeconfig)
    addons.apply(kubectl, built, ["metrics-server", "ingress"])
    addons.wait(kubectl)
    network = json.loads(_run("docker", "network", "inspect", "kind"))[0]["IPAM"]["Config"]
    host = next(entry["Gateway"] for entry in network if "." in entry.get("Gateway", ""))
    template = "{{.NetworkSettings.Networks.kind.IPAddress}}"
    node = _run("docker", "inspect", "--format", template, f"{_NAME}-worker").strip()
    description = Description(
        kind="kind",
        kubeconfig=str(layout.kubeconfig),
        host=host,
        ingress=f"http://{node}",
        programs=str(built),
    )
    description.write(layout)
    return description


def down(layout: Layout) -> None:
    """Delete the cluster."""
    _kind("delete", "cluster", "--name", _NAME)
    shutil.rmtree(layout.run, ignore_errors=True)


def load(image: str) -> None:
    """Put an image into the nodes: buildah's where that built it (scripts/image.sh prefers it), or
    else Docker's.
    """
    if not shutil.which("buildah"):
        _kind("load", "docker-image", image, "--name", _NAME)
        return
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "image.tar"
        images.export(image, archive)
        _kind("load", "image-archive", str(archive), "--name", _NAME)


def _kind(*arguments: str, said: str = "") -> str:
    return _run("kind", *arguments, said=said)


def _run(*command: str, said: str = "") -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, input=said, text=True).stdout
