"""Imports the modules of models under unique names, isolated from all other modules.

`sys.modules` holds them as `modelsync_models.<name>_<version>.<module>`: see `model_package`. What
finds modules by their plain names, such as an unpickler, gets those of the model that it works for:
see `plain_names`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from itertools import count
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import TYPE_CHECKING

from modelsync.models.isolation import plain_names
from modelsync.models.isolation.model_package import PREFIX, ROOT, Package
from modelsync.models.isolation.plain_names import packages
from modelsync.models.search_roots import SearchRoots

if TYPE_CHECKING:
    from importlib.abc import MetaPathFinder
else:  # see `model_package`
    MetaPathFinder = object

_numbers = count(2)


def install() -> None:
    """Add the package of all models, and the finder of the packages in it, to the import system."""
    if ROOT not in sys.modules:
        root = ModuleType(ROOT, "The models, each in a package of its own.")
        root.__path__ = []
        sys.modules[ROOT] = root
        plain_names.install()
        sys.meta_path.insert(0, _Packages())


def open_package(
    folder: Path, label: str, shared: Path | None = None, subdir: str = "", name: str = ""
) -> Package:
    """Make the package of a model's folder. Tracebacks and pickles show its `label` (name and
    version).

    `shared`: the folder with the shared files that it imports. `subdir`: where in the repository
    the folder of the model folders lies; `name`: the model's, if its folder has another one.
    """
    path = (*PurePosixPath(subdir).parts, name or folder.name)
    return open_roots(SearchRoots(folder, shared, path), label)


def open_roots(roots: SearchRoots, label: str) -> Package:
    """Make the package of a model with these roots of its imports."""
    install()
    name = f"{PREFIX}{label}"
    if name in packages:  # the same version from another place
        name = f"{name}_{next(_numbers)}"
    package = packages[name] = Package(roots, name)
    return package


def opened() -> dict[str, SearchRoots]:
    """Return the roots of the open packages, by their labels."""
    return {name.removeprefix(PREFIX): package.roots for name, package in packages.items()}


def close_package(name: str) -> None:
    """Close a package by its name; do nothing if there is none."""
    if package := packages.pop(name, None):
        package.close()
        plain_names.forget(used=True)


class _Packages(MetaPathFinder):
    """Finds the packages `modelsync_models.<package>` and their modules."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(PREFIX):
            return None
        package = packages.get(".".join(fullname.split(".", 2)[:2]))
        return package.find_spec(fullname, path) if package else None
