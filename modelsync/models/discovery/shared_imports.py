"""Reads from Python source which modules it may import. Nothing runs, and no file is looked up."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace

BY_NAME = frozenset(
    {"__import__", "import_module", "import_string", "locate", "resolve_name", "run_module"}
)
"""Functions of importlib, pydoc, pkgutil, runpy and werkzeug that take a module's name first."""

_PACKAGES_OF_ITSELF = ("__name__", "__package__", "parent")
"""What stands for the package of the importing module: `__name__`, `__spec__.parent`."""


@dataclass(frozen=True, slots=True)
class Import:
    """One import: of `module`, or `from module import names`; `level` counts the leading dots.

    `below`: the rest of the name is computed, so that it may be any module below `module`; without
    a module, any at all.
    """

    module: str = ""
    names: tuple[str, ...] = ()
    level: int = 0
    below: bool = False


ANYTHING = Import(below=True)
"""What cannot be known."""


def imports_of(source: bytes) -> tuple[Import, ...]:
    """Return the imports anywhere in a module, also those in functions; ANYTHING if it cannot be
    parsed. Imports for type checkers alone are left out.
    """
    if b"import" not in source and b"exec" not in source and b"locate" not in source:
        return ()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes: for the author
            tree = ast.parse(source)
        return tuple(dict.fromkeys(one for node in _walk(tree) for one in _imports(node)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return (ANYTHING,)


def _walk(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a tree, without those that run for type checkers alone."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and _last_name(node.test) == "TYPE_CHECKING":
            waiting.extend(node.orelse)
        elif isinstance(node, ast.Call):  # its name is looked at here, and nowhere else
            waiting.extend([*node.args, *node.keywords])
            is_named = isinstance(node.func, ast.Name | ast.Attribute)
            waiting.extend(ast.iter_child_nodes(node.func) if is_named else [node.func])
        else:
            waiting.extend(ast.iter_child_nodes(node))


def _imports(node: ast.AST) -> Iterator[Import]:
    match node:
        case ast.Import(names=names):
            yield from (Import(one.name) for one in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            yield Import(module or "", tuple(one.name for one in names), level)
            if any(one.name in BY_NAME and one.asname for one in names):
                yield ANYTHING  # calls of it have another name
        case ast.Call(func=func) if _last_name(func) in BY_NAME:
            yield _called(node)
        case ast.Call(func=ast.Name(id="exec")):
            yield ANYTHING
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in BY_NAME - {"locate"}:
            yield ANYTHING  # handed on, and called somewhere else


def _last_name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


# --- computed names -------------------------------------------------------------------------------


def _called(call: ast.Call) -> Import:
    """Return the import that `import_module(...)` and the like make."""
    named = {one.arg: one.value for one in call.keywords}
    first = call.args[0] if call.args else named.get("name") or named.get("path")
    if first is None:
        return ANYTHING
    text, whole = _beginning(first)
    text = text.replace(":", ".")  # "package.module:attribute"
    module = text.lstrip(".")
    level = len(text) - len(module)
    if not whole:
        module = module.rpartition(".")[0]
    found = Import(module, level=level, below=not whole)
    if not level:
        return found
    package = call.args[1] if len(call.args) > 1 else named.get("package")
    if package is None or _last_name(package) in _PACKAGES_OF_ITSELF:
        return found
    base, known = _beginning(package)
    if not known:
        return ANYTHING
    parts = base.split(".")[: len(base.split(".")) - level + 1]
    return replace(found, module=".".join(filter(None, [*parts, module])), level=0)


def _beginning(node: ast.expr) -> tuple[str, bool]:
    """Return how a text begins, as far as that is written out, and whether this is all of it."""
    match node:
        case ast.Constant(value=str(text)):
            return text, True
        case ast.JoinedStr(values=parts):
            return _joined(parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _joined([left, right])
        case ast.BinOp(left=ast.Constant(value=str(text)), op=ast.Mod()):
            return text.partition("%")[0], False
        case ast.Call(func=ast.Attribute(value=ast.Constant(value=str(text)), attr="format")):
            return text.partition("{")[0], False
    return "", False


def _joined(parts: list[ast.expr]) -> tuple[str, bool]:
    text = ""
    for part in parts:
        more, whole = _beginning(part)
        text += more
        if not whole:
            return text, False
    return text, True
