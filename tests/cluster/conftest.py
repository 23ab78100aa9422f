"""Fixtures on the cluster that `make cluster` brought up; without one, or without root to run one,
tests skip.
"""

from __future__ import annotations

import os
import re
import subprocess
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from modelsync import locks
from scripts.cluster import __main__ as commands
from scripts.cluster import given, images
from scripts.cluster.description import Description
from scripts.cluster.layout import layout
from tests.cluster.cluster import Cluster, Namespace
from tests.cluster.shop import Shop
from tests.cluster.shops import Shops
from tests.fixtures.git import GitServer

ROOT = Path(__file__).parents[2]
FAILED = pytest.StashKey[bool]()
IMAGE = "localhost/modelsync:cluster"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    where = layout()
    if (found := Description.read(where)) is None:
        pytest.skip("no cluster is up: `make cluster`")
    return Cluster(where, found)


@pytest.fixture(scope="session")
def image(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of the project's image in the cluster: MODELSYNC_TEST_IMAGE, or built from this very
    tree.
    """
    if given_image := os.environ.get("MODELSYNC_TEST_IMAGE"):
        return given_image
    if given.chosen():
        pytest.skip("a given cluster needs MODELSYNC_TEST_IMAGE")
    built = tmp_path_factory.getbasetemp().parent / "image-is-built"  # of all processes of pytest
    with built.with_suffix(".lock").open("w") as lock:
        locks.lock(lock)
        if "PYTEST_XDIST_WORKER" not in os.environ or not built.exists():
            _build()
            built.touch()
    return IMAGE


def _build() -> None:
    images.base()
    done = subprocess.run(
        ["scripts/image.sh", IMAGE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    commands.load(layout(), IMAGE)


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """A fresh namespace that enforces the restricted Pod Security Standard, then removed."""
    test = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_").lower()).strip("-")
    with Namespace(cluster, f"{test[:40].strip('-')}-{uuid.uuid4().hex[:6]}") as made:
        yield made
        if request.node.stash.get(FAILED, False):
            print(made.picture())


@pytest.fixture(scope="session")
def shops(
    cluster: Cluster, image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shops]:
    with Shops(cluster, image, tmp_path_factory) as made:
        yield made


@pytest.fixture
def store(shops: Shops, request: pytest.FixtureRequest) -> Iterator[Shop]:
    """The shop that tests share, with two pods on one good commit. After a failure the next test
    gets another one.
    """
    made = shops.take()
    yield made
    if request.node.stash.get(FAILED, False):
        print(made.namespace.picture())
        shops.close()


@pytest.fixture
def git(cluster: Cluster, tmp_path: Path) -> Iterator[GitServer]:
    """A repository that pods reach: `git.url`, with plain HTTP allowed."""
    with GitServer(tmp_path / "repository.git", host=cluster.host) as server:
        yield server
