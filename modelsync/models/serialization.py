"""Writes the values of `types` as JSON and reads them, generically: a new field needs no code here.

Unknown keys are ignored and missing ones get the field's default, so that a `release.json` can be
read by an older and by a newer version of modelsync.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from modelsync.models.measurements import Measurements
from modelsync.models.types import ModelEntry, ModelSpec

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_T = TypeVar("_T", bound="DataclassInstance")


def to_json(value: DataclassInstance) -> dict[str, Any]:
    """Return a dataclass as an object of JSON types, in the order of its fields."""
    return {name: _plain(item) for name, item in asdict(value).items()}


def from_json(kind: type[_T], values: Mapping[str, Any]) -> _T:
    """Make a dataclass of the keys of `values` that it has.

    Raises TypeError if one without a default is missing.
    """
    hints = _type_hints(kind)
    known = [item.name for item in fields(kind) if item.init and item.name in values]
    return kind(**{name: _typed(hints[name], values[name]) for name in known})


def entry_to_json(entry: ModelEntry) -> dict[str, Any]:
    """Return a model of a release as the flat object that `release.json` has of it."""
    facts, spec = to_json(entry), to_json(entry.spec)
    del facts["spec"], facts["measured"], spec["path"], spec["fault"]
    return {
        **spec,
        "folder": entry.folder,
        "version": entry.version,
        **to_json(entry.measured),
        **facts,
    }


def entry_from_json(values: Mapping[str, Any]) -> ModelEntry:
    """Read what `entry_to_json` returned. Raises KeyError or TypeError if a key is missing."""
    version = values["version"] or values["wanted_version"]
    spec = {**values, "path": values["folder"], "version": version, "fault": None}
    parts = {"spec": from_json(ModelSpec, spec), "measured": from_json(Measurements, values)}
    return from_json(ModelEntry, {**values, **parts})


@cache
def _type_hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return str(value) if isinstance(value, Path) else value


def _typed(hint: Any, value: Any) -> Any:
    """Return a JSON value as the type with which its field is declared."""
    if value is None:
        return None
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    for kind in options:
        if kind is Path:
            return Path(value)
        if is_dataclass(kind) and isinstance(kind, type) and isinstance(value, Mapping):
            return from_json(kind, value)
        if get_origin(kind) is tuple and isinstance(value, list | tuple):
            return tuple(_typed(get_args(kind)[0], item) for item in value)
    return value
