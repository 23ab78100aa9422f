"""The cluster's programs, compiled once from the Go module proxy, kept in the user's cache."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from scripts.cluster.layout import KUBERNETES, Layout

HERE = Path(__file__).parent

# Some programs are called like their folder, others only like the cluster calls them.
_MAINS = {
    "coredns": "modelsync.dev/cluster/coredns",
    "etcd": "go.etcd.io/etcd/server/v3",
    "helm3": "helm.sh/helm/v3/cmd/helm",
    "helm4": "helm.sh/helm/v4/cmd/helm",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
    "kube-proxy": "k8s.io/kubernetes/cmd/kube-proxy",
    "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
    "kubectl": "k8s.io/kubernetes/cmd/kubectl",
    "kubelet": "k8s.io/kubernetes/cmd/kubelet",
    "metrics-server": "sigs.k8s.io/metrics-server/cmd/metrics-server",
    "nginx-ingress": "github.com/nginxinc/kubernetes-ingress/cmd/nginx-ingress",
    "pause": "modelsync.dev/cluster/pause",
}
_INPUTS = {".mod", ".sum", ".go", ".patch", ".Containerfile"}
_ROUTER = "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router"
_INGRESS = "github.com/nginxinc/kubernetes-ingress"
_CRDS = {
    "sigs.k8s.io/gateway-api": ("config/crd/standard",
                                ["gatewayclasses", "gateways", "httproutes"]),
    "github.com/prometheus-operator/prometheus-operator": (
        "example/prometheus-operator-crd", ["podmonitors", "prometheusrules", "servicemonitors"],
    ),
}  # fmt: skip


def build(layout: Layout) -> Path:
    """Return the folder of the programs; compiles them if those of this very list of versions are
    not there.
    """
    programs = layout.cache / "programs" / f"{KUBERNETES}-{_digest()}"
    if programs.exists():
        return programs
    if not shutil.which("go"):
        raise SystemExit(
            "cluster: no Go compiler here to build Kubernetes with, and no cluster was given"
        )
    programs.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=programs.parent, prefix=".building-") as folder:
        source, made = Path(folder) / "source", Path(folder) / "programs"
        made.mkdir(mode=0o755)
        _copy(source)
        _compile(source, made)
        _definitions(made / "crds")
        _templates(source / "kubernetes-ingress" / "internal" / "configs", made / "nginx-templates")
        made.rename(programs)
    return programs


def add_policy_agent(layout: Layout) -> None:
    """Compile the agent that enforces network policies, unless it is among the programs.

    Apart from the others: it is made of another Kubernetes, whose thousand packages take as long as
    all tests without a cluster. The nodes start it as soon as it is there.
    """
    agent = build(layout) / "kube-router"
    if agent.exists():
        return
    print("cluster: compiling kube-router, which enforces network policies", flush=True)
    new = agent.with_suffix(".new")
    _go(HERE / "policies", "build", "-trimpath", "-ldflags", "-s -w", "-o", str(new), _ROUTER)
    new.rename(agent)


def go_is_new_enough() -> bool:
    """Whether the Go compiler takes our module, or knows how to get one that does."""
    return (
        subprocess.run(["go", "list", "-m"], cwd=HERE, capture_output=True, check=False).returncode
        == 0
    )


def _digest() -> str:
    digest = hashlib.sha256()
    for file in sorted(path for path in HERE.rglob("*") if path.suffix in _INPUTS):
        digest.update(file.read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()[:12]


def _copy(source: Path) -> None:
    """Copy our module, with the ingress controller replaced by one that has our patch."""
    shutil.copytree(
        HERE,
        source,
        ignore=lambda _, names: [name for name in names if name.endswith((".py", ".yaml"))],
    )
    module = json.loads(_go(source, "mod", "download", "-json", _INGRESS))["Dir"]
    shutil.copytree(module, source / "kubernetes-ingress")
    subprocess.run(["chmod", "-R", "u+w", str(source)], check=True)
    patch = HERE / "images" / "ingress" / "networking-v1.patch"
    with patch.open() as lines:
        subprocess.run(
            ["patch", "-p1", "-s", "-d", str(source / "kubernetes-ingress")],
            stdin=lines,
            check=True,
        )
    _go(source, "mod", "edit", f"-replace={_INGRESS}=./kubernetes-ingress")


def _compile(source: Path, made: Path) -> None:
    """One `go build` for all, so that what they share is compiled once; the two helms only differ
    in their folder.
    """
    major, minor, _ = KUBERNETES.split(".")
    stamps = {
        "gitVersion": f"v{KUBERNETES}",
        "gitMajor": major,
        "gitMinor": minor,
        "gitTreeState": "clean",
    }
    values = [f"-X k8s.io/component-base/version.{name}={value}" for name, value in stamps.items()]
    helms = ("helm.sh/helm/v3", "helm.sh/helm/v4")
    values += [f"-X {helm}/internal/version.version={_version(source, helm)}" for helm in helms]
    flags = ["-trimpath", "-ldflags", " ".join(["-s", "-w", *values])]
    together = [main for name, main in _MAINS.items() if name != "helm3"]
    print(f"cluster: compiling Kubernetes {KUBERNETES} and what goes with it", flush=True)
    _go(source, "build", *flags, "-o", f"{made}/", *together)
    _go(source, "build", *flags, "-o", str(made / "helm3"), _MAINS["helm3"])
    (made / "helm").rename(made / "helm4")
    (made / "server").rename(made / "etcd")


def _definitions(folder: Path) -> None:
    """Copy the resource definitions that the chart's full values need out of their modules."""
    folder.mkdir()
    for module, (place, kinds) in _CRDS.items():
        where = Path(json.loads(_go(HERE / "crds", "mod", "download", "-json", module))["Dir"])
        for kind in kinds:
            (file,) = (where / place).glob(f"*_{kind}.yaml")
            shutil.copyfile(file, folder / file.name)


def _templates(configs: Path, folder: Path) -> None:
    """Copy the ingress controller's templates for nginx, which it reads at its start."""
    folder.mkdir()
    for file in configs.glob("version*/nginx.*tmpl"):
        shutil.copyfile(file, folder / file.name)


def _version(source: Path, module: str) -> str:
    return _go(source, "list", "-m", "-f", "{{.Version}}", module).strip()


def _go(where: Path, *arguments: str) -> str:
    environ = {
        **os.environ,
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=mod -buildvcs=false",
        "GOWORK": "off",
    }
    done = subprocess.run(
        ["go", *arguments], cwd=where, env=environ, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"cluster: go {' '.join(arguments)} failed")
    return done.stdout
