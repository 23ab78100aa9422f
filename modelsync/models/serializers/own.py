"""The model's own format: `dump(self, file)` and `load(self, file)` of its class.

`file` is an open binary file; if the parameter is annotated with `str` or `Path`, the file's path.
`dump` writes `self.model`. What `load` returns is the fitted object, or else what it sets as
`self.model`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelsync.models.serializers.serializer import Owner, Serializer


def has_own(instance: object) -> bool:
    """Return whether a model's class has both methods."""
    kind = type(instance)
    return all(callable(getattr(kind, name, None)) for name in ("dump", "load"))


def _refuses(obj: Any, owner: Owner) -> str:
    if has_own(owner.instance):
        return ""
    return "its class has no dump(self, file) and load(self, file)"


def _dump(obj: Any, path: Path, owner: Owner) -> None:
    if type(obj) is not type(owner.instance):  # else it is its own fitted object
        owner.instance.model = obj
    _call(owner.instance.dump, path, "wb")


def _load(path: Path, owner: Owner, mapped: bool) -> Any:
    found = _call(owner.instance.load, path, "rb")
    return getattr(owner.instance, "model", owner.instance) if found is None else found


def _call(method: Callable[[Any], Any], path: Path, mode: str) -> Any:
    kinds = {"str": str(path), "Path": path}
    parameter = next(iter(inspect.signature(method).parameters.values()))
    annotation = parameter.annotation
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    if name.rpartition(".")[2] in kinds:
        return method(kinds[name.rpartition(".")[2]])
    with path.open(mode) as file:
        return method(file)


SERIALIZER = Serializer("own", "", {}, _refuses, _dump, _load)
