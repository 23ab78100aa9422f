"""A model that needs what runs before and beside the service: it has it in the check, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import Cluster, Namespace
from tests.cluster.shop import figure, shop
from tests.fixtures.git import GitServer

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
SHARED = {"name": "shared", "mountPath": "/shared"}
MODEL = """
import time
import urllib.request
from pathlib import Path

KEY = Path("/shared/key").read_text()


def ask():
    for _ in range(100):  # in a pod that serves both start at once
        try:
            return urllib.request.urlopen("http://127.0.0.1:9000/word", timeout=5).read().decode()
        except OSError:
            time.sleep(0.1)
    raise RuntimeError("nobody is beside")


WORD = ask()


class Model:
    def transform_predict(self):
        return {"value": KEY + WORD}
"""


def container(image: str, name: str, *command: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "command": ["tini", "--", "python", *command],
        "volumeMounts": [SHARED],
        "securityContext": RESTRICTED,
        **more,
    }


def test_the_check_has_what_the_pods_have(
    cluster: Cluster, namespace: Namespace, image: str, git: GitServer, tmp_path: Path
) -> None:
    """A commit whose model reads a file of an init container and asks a container beside it at
    import passes the check, and its job ends by itself.
    """
    write = "from pathlib import Path; [Path('/shared', n).write_text(n) for n in ('key', 'word')]"
    asked = {"tcpSocket": {"port": 9000}, "periodSeconds": 1}
    containers = {
        "extraVolumes": [{"name": "shared", "emptyDir": {}}],
        "extraVolumeMounts": [SHARED],
        "initContainers": [container(image, "first", "-c", write)],
        "extraContainers": [
            container(
                image,
                "beside",
                *("-m", "http.server", "9000", "--directory", "/shared"),
                startupProbe=asked,
            )
        ],
    }
    with shop(cluster, namespace, image, git, tmp_path, **containers) as store:
        commit = store.git.push({"Model/etls.py": MODEL})
        job = store.roll_out()
        assert job.code == 0, job.log
        assert store.everywhere(commit)
        assert store.ask().json() == {"value": "keyword"}
        namespace.kubectl("wait", "--for=condition=Complete", f"job/{job.name}", "--timeout=60s")
        figure(f"a model with an init container and a sidecar: {job.seconds:.0f} s")
