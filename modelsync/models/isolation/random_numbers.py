"""Random numbers that differ between the workers: a fork copies the state of each generator."""

from __future__ import annotations

import sys
from contextlib import suppress


def reseed() -> None:
    """Seed the global generators of the libraries that are imported; call it after a fork.

    Python does so with `random` by itself. Generators that a model holds are the check's concern:
    such a model is loaded after the fork.
    """
    for library, seed in (("numpy.random", "seed"), ("torch", "seed")):
        if module := sys.modules.get(library):
            with suppress(Exception):  # a stand-in of that name
                getattr(module, seed)()
