"""The functions in a model's source that answer requests, whatever they are bound to."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from modelsync.models.convention import BATCH, METHOD, PREDICT
from modelsync.models.discovery.folder_source import Folder
from modelsync.models.discovery.function_names import is_static
from modelsync.models.discovery.module_source import Function, Module
from modelsync.models.types import ModelSpec


class Predicting(NamedTuple):
    """A function that answers requests. `owner`: its parameter that gets the instance, which all
    calls share; empty for a plain function.
    """

    module: Module
    function: Function
    owner: str = ""


def find(folder: Folder, spec: ModelSpec) -> list[Predicting]:
    """Return the functions that answer the requests of a model, as far as its source tells."""
    if (module := folder.etls) is None:
        return []
    if spec.function:
        return [one for name in (METHOD, BATCH) for one in of_name(folder, module, name)]
    names = (METHOD, BATCH, PREDICT) if spec.trainable else (METHOD, BATCH)
    found = (folder.method(module, spec.class_name, name) for name in names)
    return [_method(*one) for one in found if one]


def of_name(folder: Folder, module: Module, name: str) -> Iterator[Predicting]:
    """Yield the functions that a global name is, or is made of: that of a decorator's argument, of
    an object's method, or of a class whose objects can be called.
    """
    for found in folder.functions(module, name):
        yield Predicting(*found)
    for value in module.assigned.get(name, []):
        called = value.func if isinstance(value, ast.Call) else None
        if isinstance(called, ast.Name) and (
            method := folder.method(module, called.id, "__call__")
        ):
            yield _method(*method)
        for part in value.args if isinstance(value, ast.Call) else [value]:
            match part:
                case ast.Name(id=other) if other != name:
                    yield from map(_plain, folder.functions(module, other))
                case ast.Attribute(value=ast.Name(id=holder), attr=attr):
                    if method := folder.method(module, holder, attr):
                        yield _method(*method)
                    else:
                        yield from map(_plain, folder.functions_of(module, holder, attr))


def _plain(found: tuple[Module, Function]) -> Predicting:
    return Predicting(*found)


def _method(module: Module, function: Function) -> Predicting:
    arguments = [*function.args.posonlyargs, *function.args.args]
    owner = arguments[0].arg if arguments and not is_static(function) else ""
    return Predicting(module, function, owner)
