"""Finds in the source of a class whether its predicting methods change the instance."""

from __future__ import annotations

import ast

from modelsync.models.discovery.training_methods import Members

# Methods that change the list, dict, set, array, file or estimator on which they are called.
MUTATORS = {
    "append",
    "appendleft",
    "extend",
    "extendleft",
    "insert",
    "remove",
    "pop",
    "popitem",
    "popleft",
    "clear",
    "update",
    "setdefault",
    "add",
    "discard",
    "sort",
    "reverse",
    "rotate",
    "seek",
    "truncate",
    "write",
    "writelines",
    "writerow",
    "fit",
    "partial_fit",
    "fit_transform",
    "__setitem__",
    "__delitem__",
    "__setattr__",
}


def writes_self(members: Members, class_name: str, predicting: set[str]) -> bool:
    """Return whether a predicting method changes the instance or its class, also through other
    methods that it calls on `self`.
    """
    waiting, reached = list(predicting), set(predicting)
    while waiting:
        function = members.get(waiting.pop())
        if function is None or not (arguments := [*function.args.posonlyargs, *function.args.args]):
            continue
        owners = {arguments[0].arg, class_name}
        for node in ast.walk(function):
            if _writes(node, owners):
                return True
            if (
                isinstance(node, ast.Attribute)
                and _root(node.value) in owners
                and node.attr not in reached
            ):
                reached.add(node.attr)
                waiting.append(node.attr)
    return False


def _writes(node: ast.AST, owners: set[str]) -> bool:
    """Return whether a statement or call changes an object that one of `owners` names."""
    match node:
        case ast.Assign(targets=targets) | ast.Delete(targets=targets):
            return any(_hits(target, owners) for target in targets)
        case ast.AugAssign(target=target) | ast.For(target=target) | ast.AsyncFor(target=target):
            return _hits(target, owners)
        case ast.AnnAssign(target=target, value=value):
            return value is not None and _hits(target, owners)
        case ast.withitem(optional_vars=ast.expr() as target):
            return _hits(target, owners)
        case ast.Call(
            func=ast.Attribute(value=ast.Attribute() | ast.Subscript() as value, attr=attr)
        ):
            return attr in MUTATORS and _root(value) in owners
        case ast.Call(func=ast.Name(id="setattr" | "delattr"), args=[ast.Name(id=first), *_]):
            return first in owners
    return False


def _hits(target: ast.expr, owners: set[str]) -> bool:
    match target:
        case ast.Tuple(elts=parts) | ast.List(elts=parts):
            return any(_hits(part, owners) for part in parts)
        case ast.Starred(value=value):
            return _hits(value, owners)
        case ast.Attribute() | ast.Subscript():
            return _root(target) in owners
    return False


def _root(node: ast.expr) -> str | None:
    """Return the name at the left end of a chain of attributes and subscripts."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
