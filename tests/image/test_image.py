"""The container image, built for real and run as it is run in production: `make test-image`."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.git import GitServer
from tests.fixtures.service import answers
from tests.waiting import until

ROOT = Path(__file__).parents[2]
TAG = "localhost/modelsync:test"
FLOWER = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}

pytestmark = [
    pytest.mark.image,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        os.geteuid() != 0 or not all(map(shutil.which, ("buildah", "podman", "debootstrap"))),
        reason="needs root, buildah, podman and debootstrap",
    ),
]


def podman(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    runtime = ["--runtime", "runc"] if shutil.which("runc") else []
    done = subprocess.run(
        ["podman", *runtime, *arguments], capture_output=True, text=True, timeout=300
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


class Container:
    """A running container of the image and the port its service has on the host's loopback."""

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.url = f"http://127.0.0.1:{port}"

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


@pytest.fixture(scope="session")
def image() -> str:
    """The image's name; the base under the Dockerfile's name is made first where no registry was
    asked for one.
    """
    for command in (["tests/image/build-base.sh"], ["scripts/image.sh", TAG]):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800)
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return TAG


@pytest.fixture
def start(image: str) -> Iterator[Start]:
    """Starts containers with a read-only root, no other writable place than the state volume, and
    removes them.
    """
    names: list[str] = []

    def run(**settings: str) -> Container:
        name = f"modelsync-test-{uuid.uuid4().hex[:8]}"
        names.append(name)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environment = {
            "MODELSYNC_HOST": "127.0.0.1",
            "MODELSYNC_PORT": str(port),
            "MODELSYNC_WORKERS": "1",
            **settings,
        }
        podman(
            *(
                "run",
                "--detach",
                "--name",
                name,
                "--network",
                "host",
                "--volume",
                f"{name}:/var/lib/modelsync",
            ),
            *(
                "--read-only",
                "--read-only-tmpfs=false",
                "--cap-drop",
                "all",
                "--security-opt",
                "no-new-privileges",
            ),
            *("--ulimit", "nofile=1024:4096", "--ulimit", "nproc=1000:1000"),
            *(word for key, value in environment.items() for word in ("--env", f"{key}={value}")),
            image,
        )
        return Container(name, port)

    yield run
    for name in names:
        podman("rm", "--force", "--time", "1", name, check=False)
        podman("volume", "rm", "--force", name, check=False)


@pytest.fixture
def container(start: Start) -> Container:
    return start().ready()


def test_serves_the_examples(container: Container) -> None:
    """Without any setting the image answers for its examples."""
    answer = container.post("/models/Iris", {"variables": FLOWER})
    assert answer["species"] == "setosa"


def test_its_predict_path_is_compiled(container: Container) -> None:
    """By a compiler that is not in it."""
    command = "modelsync version; command -v gcc || true"
    seen = podman("exec", container.name, "sh", "-c", command)
    assert seen.stdout.rstrip().endswith("predict path compiled)")


def test_is_not_root_and_cannot_write(container: Container) -> None:
    """The service runs as a numeric user that is not root, and only the state directory is
    writable.
    """
    who = podman("exec", container.name, "id", "-u").stdout.strip()
    assert who == "10001"
    code = (
        "touch /srv/modelsync/x /tmp/x /opt/modelsync/x; touch /var/lib/modelsync/x && echo state "
        "is writable"
    )
    done = podman("exec", container.name, "sh", "-c", code, check=False)
    assert done.stdout.strip() == "state is writable"
    assert done.stderr.count("Read-only file system") == 3


def test_health_check_tells_life_from_death(container: Container) -> None:
    """The health check passes while the service answers, and fails if nothing listens."""
    assert podman("healthcheck", "run", container.name, check=False).returncode == 0
    check = json.loads(podman("inspect", TAG, "--format", "{{json .HealthCheck.Test}}").stdout)
    assert check[0] == "CMD"
    dead = podman("exec", "--env", "MODELSYNC_PORT=1", container.name, *check[1:], check=False)
    assert dead.returncode != 0


def test_tini_is_the_init(container: Container) -> None:
    """Process 1 reaps orphans and passes signals on."""
    assert podman("exec", container.name, "cat", "/proc/1/comm").stdout.strip() == "tini"


def test_sigterm_ends_with_zero(container: Container) -> None:
    """`podman stop` ends the service in order, not by force."""
    podman("stop", "--time", "40", container.name)
    assert (
        podman("inspect", container.name, "--format", "{{.State.ExitCode}}").stdout.strip() == "0"
    ), container.logs()


def test_no_secret_of_the_build_is_left(image: str) -> None:
    """What the host lent to the build (pip's configuration) is not in the image."""
    code = "! test -s /etc/pip.conf && ! test -s /etc/xdg/pip/pip.conf"
    podman("run", "--rm", "--network", "none", "--ulimit", "nofile=1024:4096", "--ulimit",
           "nproc=1000:1000",
           "--entrypoint", "sh", image, "-c", code)  # fmt: skip


# --- following a repository -----------------------------------------------------------------------


def test_follows_a_repository(start: Start, tmp_path: Path) -> None:
    """With `gitPath` set it serves the repository's models, and the next push after a sync."""
    with GitServer(tmp_path / "repository.git") as server:
        server.push({"Echo/etls.py": answers(1)})
        container = start(
            gitPath=server.url,
            MODELSYNC_GIT_PROTOCOLS="http",
            MODELSYNC_SYNC_CRON="off",
            MODELSYNC_LOG_FORMAT="json",
        ).ready()
        assert container.post("/models/Echo", {"variables": {}}) == {"value": 1}
        server.push({"Echo/etls.py": answers(2)})
        podman("kill", "--signal", "HUP", container.name)
        until(
            lambda: container.post("/models/Echo", {"variables": {}}) == {"value": 2},
            60,
            container.logs(),
        )
