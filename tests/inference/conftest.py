"""Models that tests load here are unloaded, as the tests of loading expect of the process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from modelsync.models.isolation import import_hooks, plain_names


@pytest.fixture(autouse=True)
def unloaded() -> Iterator[None]:
    """Close the packages of all models after each test."""
    yield
    for name in list(plain_names.packages):
        import_hooks.close_package(name)
