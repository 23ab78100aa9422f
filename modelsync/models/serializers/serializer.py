"""What a format of stored models defines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelsync.models.versions import TableSchema


@dataclass(frozen=True, slots=True)
class Owner:
    """The model to which a fitted object belongs, as it is loaded in this process.

    `package`: the name of the package of its folder's modules. `instance`: that of its class.
    `inputs`: the data with which the object was fitted, None if unknown.
    """

    package: str = ""
    instance: Any = None
    inputs: TableSchema | None = None


@dataclass(frozen=True, slots=True)
class Serializer:
    """A format in which a fitted object is stored.

    `name` is stored beside the file, and decides how that is read. `needs`: the modules that must
    be importable, by the names of their distributions. `refuses` returns why the format cannot hold
    an object, empty if it can. `dump` writes the object to a file, `load` reads it; `mapped`: large
    arrays may stay in the file, from which all processes share them, and cannot be written. Both
    raise what their libraries raise; `load` also ModelBroken, for what it must not load.
    """

    name: str
    suffix: str
    needs: dict[str, str]
    refuses: Callable[[Any, Owner], str]
    dump: Callable[[Any, Path, Owner], None]
    load: Callable[[Path, Owner, bool], Any]
