"""The cluster that is built and run on this machine: Linux, root, Go and a few Debian packages are
all it takes.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
from pathlib import Path

from scripts.cluster import addons, bridge, controlplane, images, node, programs
from scripts.cluster.addons import Kubectl
from scripts.cluster.certificates import Authority
from scripts.cluster.description import Description
from scripts.cluster.layout import HOST, Layout

_NEEDED = {
    "buildah": "buildah", "containerd": "containerd", "ctr": "containerd", "go": "golang",
    "ip": "iproute2", "ipset": "ipset", "iptables": "iptables",
    "nft": "nftables", "openssl": "openssl", "patch": "patch", "podman": "podman", "runc": "runc",
    "unshare": "util-linux",
}  # fmt: skip
_ADDONS = ["node-proxier", "kube-router", "coredns", "storage", "metrics-server", "ingress"]


def missing() -> str:
    """Return why this machine cannot run a cluster, or "" if it can."""
    if platform.system() != "Linux" or os.geteuid() != 0:
        return "it needs Linux and root"
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    packages = sorted(
        {package for program, package in _NEEDED.items() if not shutil.which(program, path=path)}
    )
    if not any(Path(folder, "ptp").exists() for folder in ("/usr/lib/cni", "/opt/cni/bin")):
        packages.append("containernetworking-plugins")
    if packages:
        return f"not installed: {', '.join(packages)}"
    return "" if programs.go_is_new_enough() else "Go is older than scripts/cluster/go.mod asks for"


def up(layout: Layout) -> Description:
    """Bring the cluster up, or what of it is not; returns when it can be used."""
    if reason := missing():
        raise SystemExit(f"cluster: {reason}")
    built = programs.build(layout)
    archives = images.archives(layout, built)
    layout.logs.mkdir(parents=True, exist_ok=True)
    bridge.up()
    for process in controlplane.daemons(layout, built):
        process.start()
    Authority(layout.pki).kubeconfig(
        layout.kubeconfig, "admin", "/O=system:masters/CN=admin", controlplane.server()
    )
    kubectl = Kubectl(built / "kubectl", layout.kubeconfig)
    addons.until(lambda: kubectl.works("get", "--raw", "/readyz"), 90, "API server")
    for place in layout.nodes:
        if not node.daemon(layout, place, built).pid:
            node.start(layout, place, built)
            for archive in archives:
                images.load([place], archive)
    addons.until(
        lambda: kubectl.works("get", "priorityclass", "system-cluster-critical"),
        60,
        "priority classes",
    )
    addons.apply(kubectl, built, _ADDONS)
    addons.wait(kubectl)
    description = Description(
        kind="own", kubeconfig=str(layout.kubeconfig), programs=str(built), host=HOST,
        ingress=f"http://{layout.nodes[0].address}", volumes=str(layout.volumes),
    )  # fmt: skip
    description.write(layout)
    return description


def down(layout: Layout) -> None:
    """End the cluster and remove all of it but the programs in the cache."""
    if not layout.run.exists():
        return
    known = Path(
        "/nonexistent"
    )  # processes are found by their pid files: which programs they are does not matter
    for place in layout.nodes:
        node.stop(layout, place, known)
    for process in reversed(controlplane.daemons(layout, known)):
        process.stop(signal.SIGTERM)
    bridge.down(layout.nodes)
    shutil.rmtree(layout.run)


def load(layout: Layout, image: str) -> None:
    """Put an image that buildah holds into the cluster."""
    images.load_local(layout, image)
