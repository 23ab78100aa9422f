"""The container image, built for real and run as it is run in production: `make test-image`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.fixtures.git import GitServer
from tests.fixtures.service import answers
from tests.image.container import Container, Start, inside, marks, podman
from tests.waiting import until

FLOWER = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}

pytestmark = marks


@pytest.fixture
def container(start: Start, image: str) -> Container:
    return start(image).ready()


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


def test_health_check_tells_life_from_death(container: Container, image: str) -> None:
    """The health check passes while the service answers, and fails if nothing listens."""
    assert podman("healthcheck", "run", container.name, check=False).returncode == 0
    check = json.loads(podman("inspect", image, "--format", "{{json .HealthCheck.Test}}").stdout)
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
    inside(image, "sh", "-c", "! test -s /etc/pip.conf && ! test -s /etc/xdg/pip/pip.conf")


# --- following a repository -----------------------------------------------------------------------


@pytest.mark.parametrize("target", ["image", "slim"])
def test_follows_a_repository(
    start: Start, tmp_path: Path, target: str, request: pytest.FixtureRequest
) -> None:
    """With `gitPath` set it serves the repository's models, and the next push after a sync."""
    with GitServer(tmp_path / "repository.git") as server:
        server.push({"Echo/etls.py": answers(1)})
        container = start(
            request.getfixturevalue(target),
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
