"""What tests of environments share: an index, and a builder that asks it alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelsync.environments.builder import Builder
from modelsync.settings import EnvironmentSettings
from tests.fixtures.index import PackageIndex


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[PackageIndex]:
    """An index with two versions of two packages, which uv asks instead of any other."""
    with PackageIndex() as served:
        for version in ("1.0", "2.0"):
            served.offer("lemon", version)
            served.offer("basket", version, needs=(f"lemon=={version}",))
        for name in list(os.environ):
            if name.startswith(("PIP_", "UV_")):
                monkeypatch.delenv(name)
        for name, value in {**served.settings, "PIP_CONFIG_FILE": os.devnull}.items():
            monkeypatch.setenv(name, value)
        yield served


@pytest.fixture
def new_builder(tmp_path: Path) -> Callable[..., Builder]:
    """Makes the builder of an update in the state directory of the test."""

    def make(
        timeout: float = 60.0, size: int = 2**30, prepared: Path | None = None, **more: Path
    ) -> Builder:
        settings = EnvironmentSettings(timeout, size, prepared)
        return Builder(settings, more.get("folder", tmp_path / "home" / "environments"))

    return make
