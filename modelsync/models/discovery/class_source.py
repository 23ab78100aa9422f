"""A class as source defines it, with its bases that can be read: its members, and what it lacks."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable

from modelsync.models.convention import BATCH, METHOD
from modelsync.models.discovery.module_source import Function, Module, statements
from modelsync.models.discovery.training_methods import base_name

Found = tuple[Module, ast.ClassDef]
"""A class, and the module that defines it."""

Resolve = Callable[[Module, ast.expr], Found | None]
"""Returns the class that an expression in a module names; None if that cannot be read."""

Member = tuple[Module, Function | None]
"""What a class has under a name, and the module that defines it; None for what is no function of
the source.
"""

# Bases without `transform_predict`: a class of these alone cannot inherit it.
PLAIN_BASES = {
    *vars(builtins),
    "ABC",
    "Protocol",
    "Generic",
    "BaseModel",
    "TypedDict",
    "NamedTuple",
    "Enum",
    "IntEnum",
    "StrEnum",
}


def lineage(found: Found, resolve: Resolve) -> list[Found]:
    """Return a class and its bases in the order in which Python looks for a method."""
    classes: list[Found] = []
    waiting = [(found, frozenset[int]())]
    while waiting:
        (home, node), above = waiting.pop(0)
        if id(node) in above:  # `class Churn(Churn)`: an earlier class of that name
            continue
        # A base that several have in common comes after all of them.
        classes = [one for one in classes if one[1] is not node] + [(home, node)]
        bases = [base for one in node.bases if (base := resolve(home, one))]
        waiting = [*((base, above | {id(node)}) for base in bases), *waiting]
    return classes


def members(found: Found, resolve: Resolve) -> dict[str, Member]:
    """Return what a class and its bases define, by name."""
    named: dict[str, Member] = {}
    for home, node in reversed(lineage(found, resolve)):
        for item in statements(node.body):
            _define(item, home, named)
    return named


def _define(item: ast.stmt, home: Module, named: dict[str, Member]) -> None:
    """Add what a statement in the body of a class defines."""
    match item:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            named[name] = home, item
            if name == "__init__":
                named |= dict.fromkeys(_set_by(item), (home, None))
        case ast.ClassDef(name=name):
            named[name] = home, None
        case ast.Assign(targets=targets, value=value):
            names = [one.id for one in targets if isinstance(one, ast.Name)]
            named |= dict.fromkeys(names, _assigned(value, home, named))
        case ast.AnnAssign(value=None | ast.Constant()):
            pass  # a field of a dataclass: `fit: bool = True`
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            named[name] = _assigned(value, home, named)


def _set_by(init: Function) -> list[str]:
    """Return the predicting methods that a constructor gives the instance."""
    return [
        node.attr
        for node in ast.walk(init)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and node.attr in (METHOD, BATCH)
    ]


def _assigned(value: ast.expr, home: Module, named: dict[str, Member]) -> Member:
    """Return the function that an assigned value is, or that it is made of: `timed(run)`."""
    match value:
        case ast.Name(id=name) if name in named:
            return named[name]
        case ast.Name(id=name):
            return home, home.functions.get(name)
        case ast.Call(args=args):
            functions = (_assigned(one, home, named) for one in args if isinstance(one, ast.Name))
            return next((found for found in functions if found[1]), (home, None))
    return home, None


def is_protocol(node: ast.ClassDef) -> bool:
    """Return whether a class only says what others must have (`typing.Protocol`)."""
    return "Protocol" in map(base_name, node.bases)


def missing(found: Found, resolve: Resolve) -> list[str]:
    """Return the abstract methods of a class that neither it nor a base defines: it cannot be
    made.
    """
    bases = [node for _, node in lineage(found, resolve)]
    names = {base_name(base) for node in bases for base in node.bases}
    metaclasses = {base_name(one.value) for node in bases for one in node.keywords}
    if "ABC" not in names and "ABCMeta" not in metaclasses and not outside(found, resolve):
        return []
    defined = members(found, resolve)
    return [name for name, (_, function) in defined.items() if _is_abstract(function)]


def _is_abstract(function: Function | None) -> bool:
    decorators = function.decorator_list if function else []
    return any(base_name(one).startswith("abstract") for one in decorators)


def outside(found: Found, resolve: Resolve) -> list[str]:
    """Return the bases of a class that cannot be read, and may define any method."""
    return [
        ast.unparse(base)
        for home, node in lineage(found, resolve)
        for base in node.bases
        if base_name(base) not in PLAIN_BASES and resolve(home, base) is None
    ]
