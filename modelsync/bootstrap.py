"""Starts a module of this package with the Python of an environment, which has other libraries.

As a program it makes this package importable, and nothing that lies beside it: with the folder of
modelsync on `sys.path` the environment would find the libraries of the service, too.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

PACKAGE = Path(__file__).absolute().parent

ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""For processes that call models, served or checked: each core has a worker, more threads make
calls with one row several times slower, and those of OpenMP do not survive a fork. The variable of
the user's environment wins.
"""


def command(python: Path | None, module: str) -> list[str]:
    """Return the command that runs a module; with the service's own Python if `python` is None."""
    if python is None:
        return [sys.executable, "-P", "-m", module]
    return [str(python), "-P", __file__, module]


def environment(python: Path | None, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for that command: none that adds libraries to an environment."""
    own = ("PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE") if python else ()
    return {name: value for name, value in environ.items() if name not in own}


class _ThisPackage:
    """Finds `modelsync` here, whatever `sys.path` says."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != PACKAGE.name:
            return None
        return spec_from_file_location(
            name, PACKAGE / "__init__.py", submodule_search_locations=[str(PACKAGE)]
        )


if __name__ == "__main__":
    sys.meta_path.insert(0, _ThisPackage)
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
