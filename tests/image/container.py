"""The container image as it is run in production: built once, started with a read-only root."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.waiting import until

ROOT = Path(__file__).parents[2]

marks = [
    pytest.mark.image,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, ("buildah", "podman", "debootstrap"))),
        reason="needs root, buildah, podman and debootstrap",
    ),
]


def podman(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run podman; AssertionError with what it said where it fails."""
    runtime = ["--runtime", "runc"] if shutil.which("runc") else []
    done = subprocess.run(
        ["podman", *runtime, *arguments], capture_output=True, text=True, timeout=300
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def build(target: str) -> str:
    """Build one of the Dockerfile's targets, and return its name; the base under the Dockerfile's
    name is made first where no registry was asked for one.
    """
    tag = f"localhost/modelsync:test-{target}"
    for command in (["tests/image/build-base.sh"], ["scripts/image.sh", tag]):
        environ = {**os.environ, "TARGET": target}
        done = subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=800
        )
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return tag


_LIMITS = ("--ulimit", "nofile=1024:4096", "--ulimit", "nproc=1000:1000")


def inside(image: str, *command: str, user: int = 10001) -> str:
    """What a command prints in a new container of the image, without a network."""
    alone = ("run", "--rm", "--network", "none", "--user", str(user), *_LIMITS)
    return podman(*alone, "--entrypoint", command[0], image, *command[1:]).stdout


class Container:
    """A running container of the image and the port its service has on the host's loopback."""

    def __init__(self, image: str, settings: dict[str, str]) -> None:
        """Start it with no other writable place than the state volume."""
        self.name = name = f"modelsync-test-{uuid.uuid4().hex[:8]}"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        environment = {
            "MODELSYNC_HOST": "127.0.0.1",
            "MODELSYNC_PORT": str(port),
            "MODELSYNC_WORKERS": "1",
            **settings,
        }
        podman(
            *("run", "--detach", "--name", name, "--network", "host"),
            *("--volume", f"{name}:/var/lib/modelsync"),
            *("--read-only", "--read-only-tmpfs=false"),
            *("--cap-drop", "all", "--security-opt", "no-new-privileges"),
            *_LIMITS,
            *(word for key, value in environment.items() for word in ("--env", f"{key}={value}")),
            image,
        )

    def remove(self) -> None:
        podman("rm", "--force", "--time", "1", self.name, check=False)
        podman("volume", "rm", "--force", self.name, check=False)

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(self.url + path, timeout=5) as answer:
            return answer.read()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.load(answer)

    def logs(self) -> str:
        done = podman("logs", self.name, check=False)
        return done.stdout + done.stderr

    def ready(self) -> Container:
        try:
            until(lambda: self.get("/readyz"), timeout=90, message="readyz answers 200")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.logs()}") from None
        return self


Start = Callable[..., Container]
