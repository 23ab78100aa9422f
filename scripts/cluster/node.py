"""A node: containerd, kubelet, kube-proxy and kube-router in namespaces of their own, so that
nothing of it outlives it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scripts.cluster import bridge
from scripts.cluster.certificates import Authority
from scripts.cluster.controlplane import server
from scripts.cluster.daemon import Daemon
from scripts.cluster.layout import CGROUP, DNS_SERVICE, PODS, SERVICES, Layout, Place

PAUSE = "localhost/modelsync-cluster/pause:1"
_CGROUPS = Path("/sys/fs/cgroup")
_PLUGINS = ("/usr/lib/cni", "/opt/cni/bin")


def daemon(layout: Layout, node: Place, programs: Path) -> Daemon:
    """Return the node as a process; killing it ends everything that runs there."""
    spaces = [
        "--mount",
        "--net",
        "--pid",
        "--uts",
        "--ipc",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]
    script = [
        str(Path(__file__).with_name("node.sh")),
        node.name,
        str(node.folder),
        str(programs),
        str(layout.cache),
        SERVICES,
    ]
    return Daemon(node.name, ["unshare", *spaces, "--", "bash", *script], layout.logs)


def start(layout: Layout, node: Place, programs: Path) -> None:
    """Start the node, unless it runs; returns when its container runtime answers."""
    process = daemon(layout, node, programs)
    if process.pid:
        return
    _configure(layout, node)
    _make_cgroups(node)
    started = process.start(stdin=subprocess.PIPE)
    assert started is not None
    assert started.stdin is not None
    mine = Path("/proc/self/ns/net").stat().st_ino
    _wait(lambda: Path(f"/proc/{started.pid}/ns/net").stat().st_ino != mine, process)
    bridge.connect(node, started.pid, layout.nodes)
    started.stdin.write(b"\n")
    started.stdin.close()
    version = ["ctr", "--address", str(node.containerd), "version"]
    _wait(
        lambda: subprocess.run(version, capture_output=True, check=False).returncode == 0, process
    )


def stop(layout: Layout, node: Place, programs: Path) -> None:
    """End the node and all that runs there; its cgroups go too, or SystemExit if something is still
    in them.
    """
    daemon(layout, node, programs).stop(signal.SIGKILL)
    deadline = time.monotonic() + 20
    while left := [group for group in _cgroups(node) if not _removed(group)]:
        if time.monotonic() > deadline:
            raise SystemExit(f"cluster: cannot remove {left[0]}")
        time.sleep(0.1)
    # The mounts went with their namespace, so nothing but files is below the folder.
    if node.folder.exists():
        shutil.rmtree(node.folder)


def _configure(layout: Layout, node: Place) -> None:
    for folder in ("kubelet", "cni"):
        (node.folder / folder).mkdir(parents=True, exist_ok=True)
    authority = Authority(layout.pki)
    user = f"/O=system:nodes/CN=system:node:{node.name}"
    authority.kubeconfig(node.folder / "kubelet.conf", f"kubelet-{node.name}", user, server())
    authority.kubeconfig(
        node.folder / "kube-proxy.conf", "kube-proxy", "/CN=system:kube-proxy", server()
    )
    authority.kubeconfig(
        node.folder / "kube-router.conf", "kube-router", "/CN=modelsync:kube-router", server()
    )
    pair = authority.issue(f"{node.name}-serving", f"/CN={node.name}", (node.name, node.address))
    (node.folder / "resolv.conf").touch()
    for name, content in {
        "containerd.toml": _containerd(node),
        "cni/10-modelsync.conflist": _network(node),
        "kubelet.json": _kubelet(node, authority.certificate, pair),
        "kube-proxy.json": _proxy(node),
    }.items():
        text = _toml(content) if name == "containerd.toml" else json.dumps(content, indent=1)
        (node.folder / name).write_text(text)


def _containerd(node: Place) -> dict[str, Any]:
    plugins = next((path for path in _PLUGINS if Path(path, "ptp").exists()), _PLUGINS[0])
    runc = {
        "runtime_type": "io.containerd.runc.v2",
        "options": {"SystemdCgroup": False, "BinaryName": "runc"},
    }
    cri = {
        "sandbox_image": PAUSE,
        "restrict_oom_score_adj": True,  # where root may not lower a score, as in a container
        "tolerate_missing_hugetlb_controller": True,
        "cni": {"bin_dir": plugins, "conf_dir": str(node.folder / "cni")},
        "containerd": {
            "snapshotter": "overlayfs",
            "default_runtime_name": "runc",
            "runtimes": {"runc": runc},
        },
    }
    return {
        "version": 2,
        "root": str(node.folder / "containerd"),
        "state": "/run/containerd",
        "grpc": {"address": str(node.containerd)},
        "plugins": {"io.containerd.grpc.v1.cri": cri},
    }


def _network(node: Place) -> dict[str, Any]:
    """Each pod hangs on a link of its own that the node routes: no bridge in between whose frames
    nftables must see.
    """
    ranges = {
        "type": "host-local",
        "ranges": [[{"subnet": node.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    return {
        "cniVersion": "0.4.0",
        "name": "modelsync",
        "plugins": [{"type": "ptp", "mtu": 1500, "ipam": ranges}],
    }


def _kubelet(node: Place, authority: Path, pair: tuple[Path, Path]) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.address,
        "authentication": {"x509": {"clientCAFile": str(authority)}, "webhook": {"enabled": True}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(pair[0]),
        "tlsPrivateKeyFile": str(pair[1]),
        "containerRuntimeEndpoint": f"unix://{node.containerd}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{CGROUP}/{node.name}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": False,
        "clusterDNS": [DNS_SERVICE],
        "clusterDomain": "cluster.local",
        "resolvConf": str(node.folder / "resolv.conf"),
        "nodeStatusUpdateFrequency": "5s",
        # A nearly full disk of the machine is none of the tests' business.
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "0%",
                         "imagefs.available": "0%",
                         "nodefs.inodesFree": "0%", "imagefs.inodesFree": "0%"},
        "imageGCHighThresholdPercent": 100,
    }  # fmt: skip


def _proxy(node: Place) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(node.folder / "kube-proxy.conf")},
        "mode": "nftables",
        "clusterCIDR": PODS,
        "oomScoreAdj": 0,
        # The kernel's connection table belongs to the machine: left as it is.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }


def _toml(table: dict[str, Any], path: tuple[str, ...] = ()) -> str:
    """Write what containerd reads; JSON's scalars are TOML's."""
    lines = [f"[{'.'.join(json.dumps(key) for key in path)}]"] if path else []
    lines += [
        f"{key} = {json.dumps(value)}"
        for key, value in table.items()
        if not isinstance(value, dict)
    ]
    nested = [_toml(value, (*path, key)) for key, value in table.items() if isinstance(value, dict)]
    return "\n".join([*lines, *nested])


def _make_cgroups(node: Place) -> None:
    """Make the node's group in every hierarchy, or in the only one; kubelet wants to find it."""
    unified = (_CGROUPS / "cgroup.controllers").exists()
    for root in [_CGROUPS] if unified else [path for path in _CGROUPS.iterdir() if path.is_dir()]:
        above = root
        for part in (CGROUP, node.name):
            group = above / part
            group.mkdir(exist_ok=True)
            for setting in ("cpuset.cpus", "cpuset.mems"):
                if (
                    not unified
                    and (group / setting).exists()
                    and not (group / setting).read_text().strip()
                ):
                    (group / setting).write_text((above / setting).read_text())
            above = group


def _cgroups(node: Place) -> Iterator[Path]:
    """Yield the node's groups, the innermost first, and the one above if it was the last node."""
    for root in [_CGROUPS, *(path for path in _CGROUPS.iterdir() if path.is_dir())]:
        top = root / CGROUP
        if (top / node.name).is_dir():
            for folder, _, _ in os.walk(top / node.name, topdown=False):
                yield Path(folder)
            if not any(path.is_dir() and path.name != node.name for path in top.iterdir()):
                yield top


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return not group.exists()
    return True


def _wait(ready: Any, process: Daemon, within: float = 60) -> None:
    deadline = time.monotonic() + within
    while not ready():
        if not process.pid or time.monotonic() > deadline:
            raise SystemExit(
                f"cluster: {process.name} did not start:\n{process.log.read_text()[-2000:]}"
            )
        time.sleep(0.05)
