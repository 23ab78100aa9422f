"""Finds where an `async def` keeps what it got for a call in what all its calls share.

Coroutines overlap only where they wait, and their authors know that: a counter, a cache or a client
that is made once does no harm. But `self.name = name` before an `await` gives a client the answer
of another one.
"""

from __future__ import annotations

import ast

from modelsync.models.discovery import predicting_functions
from modelsync.models.discovery.folder_source import Folder
from modelsync.models.discovery.function_names import assignments, bound_names, stored_names
from modelsync.models.discovery.module_source import Function
from modelsync.models.types import ModelSpec

GROWING = {"append", "appendleft", "extend", "insert", "add", "put_nowait"}


def keeps_arguments(spec: ModelSpec) -> bool:
    """Return whether a predicting method stores its arguments beyond its call, other than under a
    key.
    """
    found = predicting_functions.find(Folder.of(spec), spec)
    return any(_keeps(function, owner) for _, function, owner in found)


def _keeps(function: Function, owner: str) -> bool:
    nodes = list(ast.walk(function))
    declared = {name for node in nodes if isinstance(node, ast.Global) for name in node.names}
    local = set(bound_names(nodes)) - declared
    names = [one.arg for one in ast.walk(function.args) if isinstance(one, ast.arg)]
    arguments = set(names) - {owner}
    for target, value in assignments(nodes):  # what is computed from an argument, too
        if _names(value) & arguments:
            arguments.update(set(stored_names(target)) & local)
    outer = {owner, *declared}
    return any(_stores(node, outer, local - {owner}, arguments) for node in nodes)


def _stores(node: ast.AST, outer: set[str], local: set[str], arguments: set[str]) -> bool:
    """Return whether a node puts an argument into something that outlives the call."""
    match node:
        case ast.Assign(targets=targets, value=value):
            hit = any(_is_outer(one, outer) for one in targets)
            return hit and bool(_names(value) & arguments)
        case ast.AnnAssign(target=target, value=ast.expr() as value):
            return _is_outer(target, outer) and bool(_names(value) & arguments)
        case ast.Call(func=ast.Attribute(value=holder, attr=attr), args=args) if attr in GROWING:
            return not _names(holder) & local and any(_names(one) & arguments for one in args)
    return False


def _is_outer(target: ast.expr, outer: set[str]) -> bool:
    match target:
        case ast.Name(id=name):
            return name in outer
        case ast.Attribute(value=value):
            return bool(_names(value) & outer)
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return any(_is_outer(part, outer) for part in parts)
    return False


def _names(node: ast.AST) -> set[str]:
    return {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
