"""The names of a function: what is bound in it, to what, and what outlives its calls."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from modelsync.models.discovery.module_source import Function
from modelsync.models.discovery.self_writes import MUTATORS


def bound_names(nodes: list[ast.AST]) -> Iterator[str]:
    """Yield the names that are bound in a function: parameters, targets, imports, functions."""
    for node in nodes:
        match node:
            case ast.arg(arg=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.ExceptHandler(name=str() as name):
                yield name
            case ast.alias():
                yield (node.asname or node.name).partition(".")[0]
    for node in nodes[1:]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name


def assignments(nodes: list[ast.AST]) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield targets with what is assigned to them; of a loop with what it goes through."""
    for node in nodes:
        match node:
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    yield from _pairs(target, value)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                yield target, value
            case ast.NamedExpr(target=target, value=value):
                yield target, value
            case ast.For(target=target, iter=value) | ast.comprehension(target=target, iter=value):
                yield target, value


def _pairs(target: ast.expr, value: ast.expr) -> Iterator[tuple[ast.expr, ast.expr]]:
    sequence = ast.Tuple | ast.List
    if (
        isinstance(target, sequence)
        and isinstance(value, sequence)
        and len(target.elts) == len(value.elts)
    ):
        yield from zip(target.elts, value.elts, strict=True)
    else:
        yield target, value


def stored_names(target: ast.expr) -> Iterator[str]:
    """Yield the names that a target binds."""
    for node in ast.walk(target):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def mutable_defaults(function: Function) -> Iterator[str]:
    """Yield the parameters whose default is an object that all calls share."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = [
        *zip(reversed(positional), reversed(arguments.defaults), strict=False),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    for argument, default in pairs:
        if isinstance(default, ast.List | ast.Dict | ast.Set | ast.Call):
            yield argument.arg


def is_static(function: Function) -> bool:
    """Return whether a method is a `staticmethod`, which gets no `self`."""
    return any(
        isinstance(one, ast.Name) and one.id == "staticmethod" for one in function.decorator_list
    )


def line_of_kept_state(maker: Function) -> int | None:
    """Return the line where a function inside of `maker` changes a variable of `maker`."""
    outer = set(bound_names([maker, *_outside_of_functions(maker)]))
    for inner in ast.walk(maker):
        if inner is maker or not isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        nodes = list(ast.walk(inner))
        kept = {name for node in nodes if isinstance(node, ast.Nonlocal) for name in node.names}
        own = set(bound_names(nodes)) - kept
        for node in nodes:
            if isinstance(node, ast.Nonlocal):
                return node.lineno
            if line := _line_of_change(node, outer - own):
                return line
    return None


def _outside_of_functions(maker: Function) -> Iterator[ast.AST]:
    waiting: list[ast.AST] = [maker.args, *maker.body]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def _line_of_change(node: ast.AST, names: set[str]) -> int | None:
    """Return the line of a node that changes an object which one of `names` names."""
    targets: list[ast.expr] = []
    match node:
        case ast.Assign(targets=found) | ast.Delete(targets=found):
            targets = list(found)
        case ast.AugAssign(target=target):
            targets = [target]
        case ast.Call(func=ast.Attribute(value=value, attr=attr)) if attr in MUTATORS:
            targets = [ast.Attribute(value=value, attr=attr)]
    for changed in targets:
        if isinstance(changed, ast.Attribute | ast.Subscript) and _root(changed) in names:
            return getattr(node, "lineno", None)
    return None


def _root(target: ast.expr) -> str | None:
    node: ast.expr = target
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
