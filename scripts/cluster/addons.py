"""What a cluster needs before the chart can be installed: DNS, metrics, an ingress controller,
resource definitions.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

_RUNNING = (
    ("kube-system", "coredns"),
    ("ingress-nginx", "ingress"),
    ("kube-system", "metrics-server"),
)
_MANIFESTS = Path(__file__).with_name("manifests")


class Kubectl:
    """kubectl on one cluster; CalledProcessError with what it said if it fails."""

    def __init__(self, program: Path, kubeconfig: Path) -> None:
        self._command = [str(program), "--kubeconfig", str(kubeconfig)]

    def __call__(self, *arguments: str) -> str:
        """Run it and return what it printed."""
        return subprocess.run(
            [*self._command, *arguments], check=True, capture_output=True, text=True
        ).stdout

    def works(self, *arguments: str) -> bool:
        """Whether the command ends well."""
        return (
            subprocess.run(
                [*self._command, *arguments], check=False, capture_output=True
            ).returncode
            == 0
        )


def apply(kubectl: Kubectl, programs: Path, names: list[str]) -> None:
    """Apply these manifests of ours, and the definitions of Gateway API and Prometheus operator."""
    files = [_MANIFESTS / f"{name}.yaml" for name in names] + sorted(
        (programs / "crds").glob("*.yaml")
    )
    arguments = [word for file in files for word in ("--filename", str(file))]
    kubectl("apply", "--server-side", "--force-conflicts", *arguments)


def wait(kubectl: Kubectl) -> None:
    """Return when the nodes are Ready, the add-ons run, and metrics are there."""
    kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=120s")
    for namespace, name in _RUNNING:
        if kubectl.works("get", "daemonset", name, "--namespace", namespace):
            kubectl(
                "rollout", "status", "daemonset", name, "--namespace", namespace, "--timeout=180s"
            )
    until(lambda: kubectl.works("top", "nodes"), 120, "metrics of the nodes")


def until(true: Callable[[], bool], within: float, what: str) -> None:
    """Return when it is true; SystemExit with `what` if that takes over `within` seconds."""
    deadline = time.monotonic() + within
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit(f"cluster: no {what} within {within:.0f} s")
        time.sleep(0.2)
