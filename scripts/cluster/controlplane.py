"""etcd, the API server, the controllers and the scheduler, as processes of this machine."""

from __future__ import annotations

from pathlib import Path

from scripts.cluster.certificates import Authority, signing_key
from scripts.cluster.daemon import Daemon
from scripts.cluster.layout import API_PORT, API_SERVICE, HOST, PODS, SERVICES, Layout

_ETCD = "https://127.0.0.1:23790"
_ETCD_PEERS = "http://127.0.0.1:23800"


def server() -> str:
    """Return the API server's URL, the same for this machine, nodes and pods."""
    return f"https://{HOST}:{API_PORT}"


def daemons(layout: Layout, programs: Path) -> list[Daemon]:
    """Return the control plane in the order in which it starts."""
    authority = Authority(layout.pki)
    commands = {
        "etcd": _etcd(layout, authority),
        "kube-apiserver": _apiserver(layout, authority),
        "kube-controller-manager": _controllers(layout, authority),
        "kube-scheduler": _scheduler(layout, authority),
    }
    return [
        Daemon(name, [str(programs / name), *options], layout.logs)
        for name, options in commands.items()
    ]


def _etcd(layout: Layout, authority: Authority) -> list[str]:
    certificate, key = authority.issue("etcd", "/CN=etcd", ("127.0.0.1",))
    return [
        "--name=etcd", f"--data-dir={layout.run / 'etcd'}", "--unsafe-no-fsync",
        f"--listen-client-urls={_ETCD}", f"--advertise-client-urls={_ETCD}",
        f"--listen-peer-urls={_ETCD_PEERS}", f"--initial-advertise-peer-urls={_ETCD_PEERS}",
        f"--initial-cluster=etcd={_ETCD_PEERS}",
        "--client-cert-auth", f"--trusted-ca-file={authority.certificate}",
        f"--cert-file={certificate}", f"--key-file={key}", "--log-level=warn",
    ]  # fmt: skip


def _apiserver(layout: Layout, authority: Authority) -> list[str]:
    names = (
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        "kubernetes.default.svc.cluster.local",
    )
    certificate, key = authority.issue(
        "apiserver", "/CN=kube-apiserver", (*names, HOST, API_SERVICE, "127.0.0.1")
    )
    to_etcd = authority.issue("apiserver-etcd", "/CN=kube-apiserver")
    to_kubelet = authority.issue("apiserver-kubelet", "/O=system:masters/CN=kube-apiserver-kubelet")
    front = Authority(layout.pki, "front-proxy-ca")
    proxy = front.issue("front-proxy", "/CN=front-proxy")
    private, public = signing_key(layout.pki)
    return [
        f"--advertise-address={HOST}", f"--bind-address={HOST}", f"--secure-port={API_PORT}",
        f"--tls-cert-file={certificate}", f"--tls-private-key-file={key}",
        f"--client-ca-file={authority.certificate}",
        f"--etcd-servers={_ETCD}", f"--etcd-cafile={authority.certificate}",
        f"--etcd-certfile={to_etcd[0]}", f"--etcd-keyfile={to_etcd[1]}",
        f"--kubelet-client-certificate={to_kubelet[0]}", f"--kubelet-client-key={to_kubelet[1]}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-cluster-ip-range={SERVICES}", "--allow-privileged",
        "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={public}",
        f"--service-account-signing-key-file={private}",
        # Services outside of the API server (metrics) are reached at their pods: no kube-proxy runs
        # on this machine.
        "--enable-aggregator-routing",
        f"--requestheader-client-ca-file={front.certificate}",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={proxy[0]}", f"--proxy-client-key-file={proxy[1]}",
    ]  # fmt: skip


def _controllers(layout: Layout, authority: Authority) -> list[str]:
    user = "system:kube-controller-manager"
    config = authority.kubeconfig(
        layout.pki / "controllers.conf", "controllers", f"/CN={user}", server()
    )
    return [
        f"--kubeconfig={config}", "--bind-address=127.0.0.1", "--leader-elect=false",
        "--use-service-account-credentials",
        f"--service-account-private-key-file={layout.pki / 'tokens.key'}",
        f"--root-ca-file={authority.certificate}", f"--cluster-cidr={PODS}",
        # An autoscaler that the tests need not wait for.
        "--horizontal-pod-autoscaler-sync-period=5s",
        "--horizontal-pod-autoscaler-initial-readiness-delay=5s",
        "--horizontal-pod-autoscaler-cpu-initialization-period=15s",
    ]  # fmt: skip


def _scheduler(layout: Layout, authority: Authority) -> list[str]:
    user = "system:kube-scheduler"
    config = authority.kubeconfig(
        layout.pki / "scheduler.conf", "scheduler", f"/CN={user}", server()
    )
    return [f"--kubeconfig={config}", "--bind-address=127.0.0.1", "--leader-elect=false"]
