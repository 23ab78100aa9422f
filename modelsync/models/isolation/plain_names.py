"""Plain names: what finds a model's module by its name alone finds that of its model.

A pickle names `helpers.Scaler`, and the unpickler takes `sys.modules["helpers"]`, of which the
process has only one. That is a stand-in, which has the attributes of the module that the model
means whose code asks: the nearest one in the stack of calls, else the one in whose context that
runs, else the one that is being loaded.
"""

from __future__ import annotations

import dis
import importlib
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FrameType, ModuleType
from typing import TYPE_CHECKING, Any

from modelsync.models.isolation.model_package import PREFIX, ROOT, Package
from modelsync.models.search_roots import REPOSITORY

if TYPE_CHECKING:
    from importlib.abc import Loader, MetaPathFinder
else:  # see `model_package`
    Loader = MetaPathFinder = object

packages: dict[str, Package] = {}
"""The packages of all models that are loaded, or being loaded, by their names."""

current: ContextVar[Package | None] = ContextVar("current", default=None)
"""The package of the model in whose context (`LoadedModel.context`) this code runs."""

_loading: list[Package] = []
_stand_ins: set[str] = set()
_used: set[str] = set()

_import_module = importlib.import_module
_MACHINERY = ("<frozen importlib", str(Path(__file__).parent), _import_module.__code__.co_filename)
_IMPORT_NAME = dis.opmap["IMPORT_NAME"]
_VERSION = re.compile(r"_[0-9a-f]{8}(_\d+)?$")


def install() -> None:
    """Have the import system find plain names, and `import_module` the modules of its caller."""
    sys.meta_path.insert(0, _PlainNames())
    vars(importlib)["import_module"] = import_module


def import_module(name: str, package: str | None = None) -> ModuleType:
    """Import a module, as `importlib.import_module` does; of a model that calls it, its own."""
    if _is_of_a_model(caller := sys._getframe(1)) and (found := _package_of(caller)):
        return found.import_module(name, package)
    return _import_module(name, package)


@contextmanager
def loading(package: Package) -> Iterator[None]:
    """Load a model in the body: whoever asks for a plain name there gets the module of this one.

    Afterwards `sys.modules` holds none of these names, nor any module that the model's code found
    in the model's folders through `sys.path`, so that the next model finds its own `helpers`.
    """
    before = set(sys.modules)
    _loading.append(package)
    package.loads = True
    try:
        yield
    finally:
        package.loads = False
        _loading.remove(package)
        for name in set(sys.modules) - before:
            if name in _stand_ins or (
                not name.startswith(PREFIX) and package.roots.hold(_places(sys.modules[name]))
            ):
                _stand_ins.discard(name)
                del sys.modules[name]


def forget(*, used: bool = False) -> None:
    """Remove the stand-ins that nobody has asked since the last time, or also those `used`."""
    for name in _stand_ins - (set() if used else _used):
        _stand_ins.discard(name)
        sys.modules.pop(name, None)
    _used.clear()


def _places(module: ModuleType) -> list[str]:
    """Return the files or folders of a module."""
    file = getattr(module, "__file__", None)
    return [file] if isinstance(file, str) else list(getattr(module, "__path__", None) or ())


# --- who asks -------------------------------------------------------------------------------------


def _is_of_a_model(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__", "")).startswith(PREFIX)


def _package_of(frame: FrameType | None) -> Package | None:
    """Return the model whose code is nearest in a stack of calls, else the one of this context,
    else the one that is being loaded.
    """
    while frame:
        if _is_of_a_model(frame):
            label = frame.f_globals["__name__"].split(".", 2)[1]
            if found := packages.get(f"{PREFIX}{label}") or _successor(label):
                return found
        frame = frame.f_back
    if (found := current.get()) and found.name in packages:
        return found
    return _loading[-1] if _loading else None


def _successor(label: str) -> Package | None:
    """Return the newest package of the model of which a label names an earlier version."""
    model = _VERSION.sub("", label)
    names = [name for name in packages if _VERSION.sub("", name) == f"{PREFIX}{model}"]
    return packages[names[-1]] if names else None


def _asking(frame: FrameType | None, name: str) -> Package | None:
    """Return the model for which a plain name is imported; None if it is for no model.

    The importing code is the model's own or an unpickler. The `import` statement of a library may
    not use plain names: many try `import something` to see whether it is installed.
    """
    while frame and frame.f_code.co_filename.startswith(_MACHINERY):
        frame = frame.f_back
    if frame is None:
        return None
    if not _is_of_a_model(frame) and frame.f_code.co_code[frame.f_lasti] == _IMPORT_NAME:
        return None
    return _package_of(frame) or _only(name)


def _only(name: str) -> Package | None:
    """Return the one model that has a module of that name; None if several have one, or none."""
    found = [package for package in list(packages.values()) if _meant(package, name)]
    return found[0] if len(found) == 1 else None


def _meant(package: Package, name: str) -> str | None:
    """Return the full name of what a plain name means to a model; None if that is nothing of it.

    `modelsync_models.Churn_<version>.helpers` is one too, if an earlier version has pickled it.
    """
    if not name.startswith(PREFIX):
        top = name.partition(".")[0]
        return None if package.is_library(top) else package.full_name(name)
    label, _, inner = name.removeprefix(PREFIX).partition(".")
    if _VERSION.sub("", label) != _VERSION.sub("", package.name.removeprefix(PREFIX)):
        return None
    if not inner or inner.partition(".")[0] == REPOSITORY:
        return f"{package.name}.{inner}".rstrip(".")
    return package.full_name(inner)


# --- stand-ins ------------------------------------------------------------------------------------


class _StandIn(ModuleType):
    """Has the attributes of the module that the asking model means by the name of this one."""

    def __getattribute__(self, attribute: str) -> Any:
        own = super().__getattribute__
        name = own("__dict__")["__name__"]
        package = _package_of(sys._getframe(1)) or _only(name)
        if package is None or (full := _meant(package, name)) is None:
            return own(attribute)
        _used.add(name)
        return getattr(_import_module(full), attribute)


class _PlainNames(MetaPathFinder):
    """Finds stand-ins; none for a name of the standard library or of an installed package."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top = fullname.partition(".")[0]
        if top in sys.stdlib_module_names or fullname == ROOT:
            return None
        if top == ROOT and ".".join(fullname.split(".", 2)[:2]) in packages:
            return None
        package = _asking(sys._getframe(1), fullname)
        full = _meant(package, fullname) if package else None
        return ModuleSpec(fullname, _Loader(full)) if full else None


class _Loader(Loader):
    """Makes a stand-in of a module, which is imported first."""

    def __init__(self, name: str) -> None:
        self.name = name

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        _import_module(self.name)
        return _StandIn(spec.name)

    def get_data(self, path: str) -> bytes:
        """Read a file beside the module, as `pkgutil.get_data` wants it."""
        return Path(path).read_bytes()

    def exec_module(self, module: ModuleType) -> None:
        """Note that it is there."""
        _stand_ins.add(ModuleType.__getattribute__(module, "__dict__")["__name__"])
