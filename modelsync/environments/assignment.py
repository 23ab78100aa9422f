"""Assigns environments to models: of the folder's own requirements, else of the shared ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace

from modelsync.environments.builder import Builder
from modelsync.environments.requirements import Found, Requirements, below, fault_of, find
from modelsync.errors import ModelBroken
from modelsync.models.types import Fault, ModelSpec, TreeHash

Made = dict[str, str | Fault]


def assign(
    specs: Sequence[ModelSpec],
    shared: Found,
    builder: Builder,
    *,
    on_progress: Callable[[ModelSpec], None] = lambda spec: None,
) -> list[ModelSpec]:
    """Return the models, each with the id of its environment, which is built if it is missing.

    `shared`: the requirements that lie beside the folders, for those without their own. They are
    part of what such a model is, so its version changes with them. A model whose environment cannot
    be built gets that as its fault. `on_progress` is called after each. Raises StorageFailed.
    """
    made: Made = {}
    found = []
    for spec in specs:
        found.append(spec if spec.fault else _assigned(spec, shared, builder, made))
        on_progress(spec)
    return found


def _assigned(spec: ModelSpec, shared: Found, builder: Builder, made: Made) -> ModelSpec:
    """Return a model with its environment or fault; `made` holds the results of this update."""
    own = find(below(spec.path))
    found = shared if own is None else own
    if isinstance(found, Fault):
        return replace(spec, fault=found if own else _of_shared(found))
    if found is None:
        return spec
    if own is None:
        spec = replace(spec, version=_combined(spec.version, found))
    if found.is_empty:
        return spec
    if found.digest not in made:
        made[found.digest] = _provided(found, builder)
    result = made[found.digest]
    if isinstance(result, Fault):
        return replace(spec, fault=result if own else _of_shared(result))
    return replace(spec, environment=result)


def _provided(requirements: Requirements, builder: Builder) -> str | Fault:
    try:
        return builder.provide(requirements)
    except ModelBroken as error:
        return fault_of(error)


def _combined(version: TreeHash, shared: Requirements) -> TreeHash:
    """Return the version of a model that consists of its folder and of shared requirements."""
    text = f"{version} {shared.digest}".encode()
    return TreeHash(hashlib.sha1(text, usedforsecurity=False).hexdigest())


def _of_shared(fault: Fault) -> Fault:
    """Return a fault of the shared requirements as that of a folder, which does not hold them."""
    place = ":".join(str(part) for part in (fault.file, fault.line) if part)
    message = f"{place} beside the models' folders: {fault.message}"
    return replace(fault, message=message, file=None, line=None)
