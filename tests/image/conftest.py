"""Both images, each built once, and containers of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.image.container import Container, Start, build


@pytest.fixture(scope="session")
def image() -> str:
    """The name of the image that is built unless another target is asked for."""
    return build("full")


@pytest.fixture(scope="session")
def slim() -> str:
    """The name of the image without libraries for models."""
    return build("slim")


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts containers, and removes them."""
    made: list[Container] = []

    def run(image: str, **settings: str) -> Container:
        made.append(Container(image, settings))
        return made[-1]

    yield run
    for container in made:
        container.remove()
