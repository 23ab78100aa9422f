"""The modules of the predict path that mypyc may have compiled (`scripts/extension_modules.py`)."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # mypyc knows it by this name; the interpreter needs no such package
    from mypy_extensions import mypyc_attr
else:
    T = TypeVar("T", bound=type)

    def mypyc_attr(**attributes: object) -> object:
        """Return a decorator that leaves a class as it is."""
        return lambda kind: kind


__all__ = ["compiled", "mypyc_attr"]


def compiled() -> bool:
    """Return whether these modules are extension modules here; else the interpreter runs them."""
    found = find_spec("modelsync.server.connection")
    return found is not None and (found.origin or "").endswith(tuple(EXTENSION_SUFFIXES))
