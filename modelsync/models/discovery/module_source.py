"""One file of a model's source: the names at its top, and what they are bound to."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(slots=True)
class Module:
    """One file: its functions, classes, imports, and the names that are assigned at its top.

    `file`: its path in the model's folder, or of a shared file that in the repository; `place`: its
    path in the repository, by its parts. `assigned` has the expressions of a name, `imports` the
    module and the name in it (empty: the module itself); behind a dot stands the module's path in
    the repository. `stars`: the modules of which all names are imported. `lines`: where a name is
    bound, from 1.
    """

    file: str
    place: tuple[str, ...]
    functions: dict[str, Function] = field(default_factory=dict)
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    assigned: dict[str, list[ast.expr | None]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)


def read(path: Path, file: str, place: tuple[str, ...]) -> Module:
    """Return the module in a file; empty if it cannot be parsed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return of_tree(ast.parse(path.read_bytes()), file, place)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OSError):
        return Module(file, place)


def of_tree(tree: ast.Module, file: str, place: tuple[str, ...]) -> Module:
    """Return the module that has been parsed already."""
    module = Module(file, place)
    for node in statements(tree.body):
        _note(node, module)
    return module


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that an import may run: also those in an `if`, `try`, `with` or loop,
    but not what is for a script or a type checker only.

    The likeliest of several that define one name comes last.
    """
    for node in body:
        yield node
        parts: list[list[ast.stmt]] = []
        match node:
            case ast.If(test=test, body=then, orelse=orelse):
                parts = [orelse] if _never_holds(test) else [orelse, then]
            case ast.Try(body=then, handlers=handlers, orelse=orelse, finalbody=final):
                parts = [*(handler.body for handler in handlers), then, orelse, final]
            case ast.With(body=then):
                parts = [then]
            case ast.For(body=then, orelse=orelse) | ast.While(body=then, orelse=orelse):
                parts = [then, orelse]
        for part in parts:
            yield from statements(part)


def _never_holds(test: ast.expr) -> bool:
    """Return whether an import finds a condition false: `__name__ == "__main__"` and the like."""
    match test:
        case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
            return True
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[right]):
            sides = {getattr(one, "id", getattr(one, "value", None)) for one in (left, right)}
            return sides == {"__name__", "__main__"}
        case ast.BoolOp(op=ast.And(), values=values):
            return any(map(_never_holds, values))
        case ast.Constant(value=value):
            return not value
    return False


def _note(node: ast.stmt, module: Module) -> None:
    """Add the names that a statement at the top of a module defines."""
    names: list[str] = []
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            module.functions[node.name] = node
            names = [node.name]
        case ast.ClassDef():
            module.classes[node.name] = node
            names = [node.name]
        case ast.Import(names=imported):
            for one in imported:
                top = one.name.partition(".")[0]
                module.imports[one.asname or top] = (one.name if one.asname else top, "")
        case ast.ImportFrom(names=[ast.alias(name="*")]):
            module.stars.append(_home(node, module))
        case ast.ImportFrom(names=imported):
            home = _home(node, module)
            found = {one.asname or one.name: (home, one.name) for one in imported}
            module.imports |= found
            names = list(found)
        case ast.Assign(targets=targets, value=value):
            names = [name for target in targets for name in _stored(target)]
            for name in names:
                module.assigned.setdefault(name, []).append(value)
        case ast.AnnAssign(target=ast.Name(id=name), value=value):
            module.assigned.setdefault(name, []).append(value)
            names = [name]
    module.lines |= dict.fromkeys(names, node.lineno)


def _home(node: ast.ImportFrom, module: Module) -> str:
    """Return the module that `from ... import` names; of a relative one the path, behind a dot."""
    if not node.level:
        return node.module or ""
    return ".".join(["", *module.place[: -node.level], *filter(None, [node.module])])


def _stored(target: ast.expr) -> Iterator[str]:
    for node in ast.walk(target):
        if isinstance(node, ast.Name):
            yield node.id
