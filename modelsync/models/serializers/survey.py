"""Finds which modules the classes and functions in an object come from."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from modelsync.models.isolation.model_package import ROOT

_OTHERS_OWN = {ROOT, "__main__", "__mp_main__"}
"""Modules that no other process can import by these names."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What an object is made of: `modules`, and why the pickle of Python cannot hold it."""

    modules: frozenset[str]
    unpicklable: str = ""

    @property
    def libraries(self) -> set[str]:
        """The top-level names of its modules that others can import."""
        return {module.partition(".")[0] for module in self.modules} - _OTHERS_OWN

    @property
    def is_importable(self) -> bool:
        """Whether another process can import all that it is made of."""
        tops = {module.partition(".")[0] for module in self.modules}
        return not self.unpicklable and tops.isdisjoint(_OTHERS_OWN)


class _Sink(io.RawIOBase):
    """Takes and forgets what is written."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return len(data)


class _Surveyor(pickle.Pickler):
    """Pickles into nothing and notes the modules; arrays are not copied."""

    def __init__(self) -> None:
        super().__init__(_Sink(), protocol=5, buffer_callback=lambda buffer: None)
        self.modules: set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        """Note where a class, a function, or the class of an object comes from."""
        named = isinstance(obj, type | FunctionType)
        kind = obj if named else type(obj)
        module = getattr(kind, "__module__", None) or "builtins"
        if named and (module.partition(".")[0] in _OTHERS_OWN or "<" in kind.__qualname__):
            self.modules.add(ROOT)
            return str, ()  # in its place, so that the rest is looked at too
        self.modules.add(module)
        return NotImplemented


def survey(obj: Any) -> Survey:
    """Return what an object is made of; it is pickled, but nothing is kept."""
    surveyor = _Surveyor()
    error = _failure(lambda: surveyor.dump(obj))
    return Survey(frozenset(surveyor.modules), error)


def _failure(call: Callable[[], object]) -> str:
    try:
        call()
    except Exception as error:  # noqa: BLE001  an object's own methods run
        return f"{type(error).__name__}: {error}"
    return ""
