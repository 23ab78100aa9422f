"""A shop that tests share: what one leaves sound the next one takes, for an installation takes half
a minute.
"""

from __future__ import annotations

import contextlib
import time

import pytest

from tests.cluster.cluster import Cluster, Namespace
from tests.cluster.shop import Shop, shop
from tests.fixtures.git import GitServer
from tests.waiting import until


class Shops:
    """One shop after another: the same for all tests of a process that leave it sound."""

    def __init__(self, cluster: Cluster, image: str, folders: pytest.TempPathFactory) -> None:
        self._cluster = cluster
        self._image = image
        self._folders = folders
        self._open = contextlib.ExitStack()
        self._shop: Shop | None = None

    def take(self) -> Shop:
        """The shop: two pods that answer with what is pinned."""
        if self._shop is not None:
            try:
                self._rested(self._shop)
            except AssertionError:  # the test before has left it so
                self.close()
        if self._shop is None:
            folder = self._folders.mktemp("shop")
            git = self._open.enter_context(
                GitServer(folder / "repository.git", host=self._cluster.host)
            )
            name = f"shop-{time.monotonic_ns() % 10**9}"
            namespace = self._open.enter_context(Namespace(self._cluster, name))
            self._shop = self._open.enter_context(
                shop(self._cluster, namespace, self._image, git, folder)
            )
        return self._shop

    def close(self) -> None:
        """Remove the shop; the next one is new."""
        self._shop = None
        self._open.close()

    @staticmethod
    def _rested(used: Shop) -> None:
        used.scale(2)
        until(lambda: used.names() == used.ready() and used.everywhere(used.pin), 60)

    def __enter__(self) -> Shops:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
