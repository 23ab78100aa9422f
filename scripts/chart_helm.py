"""Finds Helm for the chart's tests; `python -m scripts.chart_helm` (`make helm4`) builds Helm 4.

Helm 3 comes from PyPI with requirements-dev.txt. Helm 4 is not there: it is built once with Go,
into the user's cache, unless `make cluster` has done so already.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from scripts.chart_values import CHART

HELM_4 = "v4.3.1"


def cached() -> Path:
    """Where Helm 4 is, once it has been built."""
    return _cache() / "modelsync" / f"helm-{HELM_4}" / "helm"


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


@cache
def find(major: int) -> Path | None:
    """A Helm of that major version; None if there is none."""
    of_cluster = sorted(_cache().glob(f"modelsync-cluster/programs/*/helm{major}"))
    found = [
        Path(sys.executable).with_name("helm"),
        cached(),
        Path(shutil.which("helm") or "/nonexistent"),
        *of_cluster,
    ]
    for helm in found:
        if helm.exists() and _version(helm).startswith(f"v{major}."):
            return helm
    return None


def render(
    values: dict[str, Any],
    *,
    release: str = "modelsync",
    namespace: str = "default",
    helm: Path | None = None,
) -> list[dict[str, Any]]:
    """All objects of the chart with these values, the pod of `helm test` last.

    Raises CalledProcessError, with Helm's message in `stderr`, if it refuses the values.
    """
    helm = helm or find(3) or find(4)
    if helm is None:
        raise FileNotFoundError("helm is not here: make setup")
    command = [
        str(helm),
        "template",
        release,
        str(CHART),
        "--namespace",
        namespace,
        "--values",
        "-",
    ]
    done = subprocess.run(
        command,
        input=yaml.safe_dump(values),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    objects = [document for document in yaml.load_all(done.stdout, yaml.CSafeLoader) if document]
    return sorted(objects, key=lambda one: "helm.sh/hook" in one["metadata"].get("annotations", {}))


def _version(helm: Path) -> str:
    done = subprocess.run(
        [str(helm), "version", "--template", "{{.Version}}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout


def _build() -> Iterator[str]:
    if find(4):
        return
    target = cached()
    target.parent.mkdir(parents=True, exist_ok=True)
    yield f"building Helm {HELM_4} into {target.parent}, which takes some minutes"
    source = f"helm.sh/helm/v4/cmd/helm@{HELM_4}"
    subprocess.run(
        ["go", "install", source], env={**os.environ, "GOBIN": str(target.parent)}, check=True
    )


if __name__ == "__main__":
    for line in _build():
        print(line, flush=True)
