"""cloudpickle: any object of Python, classes and functions of the model's folder included.

These are stored by value, with the modules of the folder that they use: a version goes on in the
next release, whose code is another, and in any Python that has cloudpickle. A lazy `import` of a
module of the folder, inside a function, is not part of that.
"""

from __future__ import annotations

import pickle
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from modelsync.models.serializers.serializer import Owner, Serializer
from modelsync.models.serializers.survey import survey

_OF_THE_LOADER = {
    "__builtins__", "__cached__", "__file__", "__loader__", "__path__", "__spec__",
}  # fmt: skip
"""Names in a module that belong to the process which has imported it."""


def _refuses(obj: Any, owner: Owner) -> str:
    """Return what is missing: without the library only what others can import is stored."""
    if find_spec("cloudpickle") or survey(obj).is_importable:
        return ""
    return (
        "it has classes or functions of the model's folder, which needs cloudpickle: add that to "
        "the model's requirements.txt"
    )


def _dump(obj: Any, path: Path, owner: Owner) -> None:
    """Write an object; classes and functions of the folder's modules by value."""
    if not find_spec("cloudpickle"):
        path.write_bytes(pickle.dumps(obj, protocol=5))
        return
    import cloudpickle

    package = owner.package

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        """Stores the modules of the folder without what ties them to this process."""

        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, ModuleType) and package and _lies_in(obj, package):
                state = {k: v for k, v in vars(obj).items() if k not in _OF_THE_LOADER}
                return ModuleType, (obj.__name__,), state
            return super().reducer_override(obj)

    module = sys.modules.get(package)
    if module is not None:
        cloudpickle.register_pickle_by_value(module)
    try:
        with path.open("wb") as file:
            Pickler(file, protocol=5).dump(obj)
    finally:
        if module is not None:
            cloudpickle.unregister_pickle_by_value(module)


def _lies_in(module: ModuleType, package: str) -> bool:
    return f"{module.__name__}.".startswith(f"{package}.")


def _load(path: Path, owner: Owner, mapped: bool) -> Any:
    with path.open("rb") as file:
        return pickle.load(file)


SERIALIZER = Serializer("cloudpickle", ".pkl", {}, _refuses, _dump, _load)
