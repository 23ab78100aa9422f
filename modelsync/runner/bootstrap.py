"""Starts a runner with any Python: makes this package importable, and nothing that lies beside it.

The Python of an environment has libraries of its own; with the folder that holds modelsync on
`sys.path` it would find those of the service, too.
"""

import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path

PACKAGE = Path(__file__).absolute().parent.parent


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
    here = str(PACKAGE / "runner")
    sys.path[:] = [place for place in sys.path if place != here]
    sys.meta_path.insert(0, _ThisPackage)
    from modelsync.runner.program import main

    main(int(sys.argv[1]))
