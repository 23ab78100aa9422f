"""A cluster that already runs elsewhere: `KUBECONFIG` and `MODELSYNC_TEST_CLUSTER=1`. Its images
and ingress are theirs.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from scripts.cluster.addons import Kubectl
from scripts.cluster.description import Description
from scripts.cluster.layout import Layout


def chosen() -> bool:
    """Whether the environment names one."""
    return os.environ.get("MODELSYNC_TEST_CLUSTER") == "1" and bool(os.environ.get("KUBECONFIG"))


def up(layout: Layout) -> Description:
    """Describe the given cluster; SystemExit if it does not answer or a variable that the tests
    need is not set.
    """
    kubectl = shutil.which("kubectl")
    kubeconfig = os.environ["KUBECONFIG"]
    if not kubectl or not Kubectl(Path(kubectl), Path(kubeconfig)).works("get", "--raw", "/readyz"):
        raise SystemExit(
            f"cluster: the one of KUBECONFIG={kubeconfig} does not answer, or there is no kubectl"
        )
    wanted = ("MODELSYNC_TEST_INGRESS", "MODELSYNC_TEST_HOST")
    if absent := [name for name in wanted if not os.environ.get(name)]:
        raise SystemExit(
            f"cluster: a given cluster needs {' and '.join(absent)} too, see CONTRIBUTING.md"
        )
    ingress, host = (os.environ[name] for name in wanted)
    description = Description(
        kind="given", kubeconfig=kubeconfig, host=host, ingress=ingress.rstrip("/"), programs=""
    )
    description.write(layout)
    return description


def down(layout: Layout) -> None:
    """Forget it; it is not ours to end."""
    shutil.rmtree(layout.run, ignore_errors=True)


def load(image: str) -> None:
    """Push the image to the registry that the cluster pulls from."""
    raise SystemExit(f"cluster: push {image} to a registry and name it in MODELSYNC_TEST_IMAGE")
