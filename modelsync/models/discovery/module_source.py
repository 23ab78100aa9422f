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
    the repository.
    """

    file: str
    place: tuple[str, ...]
    functions: dict[str, Function] = field(default_factory=dict)
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    assigned: dict[str, list[ast.expr | None]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)


def read(path: Path, file: str, place: tuple[str, ...]) -> Module:
    """Return the module in a file; empty if it cannot be parsed."""
    module = Module(file, place)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError, OSError):
        return module
    for node in _statements(tree.body):
        _note(node, module)
    return module


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements at the top of a module, also those in an `if`, `try`, `with` or loop."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With | ast.For | ast.While):
            for part in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(node, part, []))
            for handler in getattr(node, "handlers", []):
                yield from _statements(handler.body)


def _note(node: ast.stmt, module: Module) -> None:
    """Add the names that a statement at the top of a module defines."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            module.functions[node.name] = node
        case ast.ClassDef():
            module.classes[node.name] = node
        case ast.Import(names=names):
            for one in names:
                top = one.name.partition(".")[0]
                module.imports[one.asname or top] = (one.name if one.asname else top, "")
        case ast.ImportFrom(names=names):
            home = _home(node, module)
            module.imports |= {one.asname or one.name: (home, one.name) for one in names}
        case ast.Assign(targets=targets, value=value):
            for name in (name for target in targets for name in _stored(target)):
                module.assigned.setdefault(name, []).append(value)
        case ast.AnnAssign(target=ast.Name(id=name), value=value):
            module.assigned.setdefault(name, []).append(value)


def _home(node: ast.ImportFrom, module: Module) -> str:
    """Return the module that `from ... import` names; of a relative one the path, behind a dot."""
    if not node.level:
        return node.module or ""
    return ".".join(["", *module.place[: -node.level], *filter(None, [node.module])])


def _stored(target: ast.expr) -> Iterator[str]:
    for node in ast.walk(target):
        if isinstance(node, ast.Name):
            yield node.id
