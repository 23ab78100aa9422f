"""Reads from Python source which modules it may import. Nothing runs, and no file is looked up."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace

BY_NAME = frozenset(
    {"__import__", "import_module", "import_string", "locate", "resolve_name", "run_module"}
)
"""Functions of importlib, pydoc, pkgutil, runpy and werkzeug that take a module's name first."""

LISTING = frozenset({"iter_modules", "walk_packages"})
"""Functions of pkgutil that list the modules of packages, to import them."""

_PACKAGES_OF_ITSELF = ("__name__", "__package__", "parent")
"""What stands for the package of the importing module, also as the parent of its spec."""


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


_STATEMENT = re.compile(
    r"^[ \t\f]*(?:"
    r"from[ \t]*(?P<dots>[. \t]*)(?P<module>[\w.]*)[ \t]*import\b[ \t]*"
    r"(?P<names>\((?:[^)#]|#[^\n]*)*\)|[^\n#;(]*)"
    r"|import[ \t]+(?P<modules>[^\n#;]+))",
    re.MULTILINE,
)
"""An import at the beginning of a line, the names in brackets on several lines too."""

_COMPUTED = ("TYPE_CHECKING", "exec(", "locate(", *sorted(BY_NAME - {"locate"}), *LISTING)
_INSIDE = re.compile(r"[:;][ \t]*(?:import|from)\b|^[ \t\f]*(?:import|from)\b.*\\\r?$")

_COMMENT = re.compile(r"#[^\n]*")

_RESOURCE = re.compile(
    r"\b(?:files|get_data|find_spec|(?:open|read)_(?:text|binary))\(\s*[\"']([\w.]+)[\"']"
)
"""A call of importlib.resources or pkgutil with the name of the package that it reads from."""


def imports_of(source: bytes) -> tuple[Import, ...]:
    """Return the imports anywhere in a module, also those in functions; ANYTHING if they are
    computed and cannot be known. Imports for type checkers alone are left out.
    """
    if b"import" not in source and b"exec" not in source and b"locate" not in source:
        return ()
    text = source.decode("utf-8-sig", "replace").replace("\r\n", "\n").replace("\r", "\n")
    resources = map(Import, _RESOURCE.findall(text))
    if not _is_unusual(text):
        return tuple(dict.fromkeys([*_statements(text), *resources]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes: for the author
            tree = ast.parse(source)
        found = (one for node in _walk(tree) for one in _imports(node))
        return tuple(dict.fromkeys([*found, *resources]))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return (ANYTHING,)


def _is_unusual(text: str) -> bool:
    """Return whether only the syntax tree tells what is imported; its search is slower by far."""
    if any(word in text for word in _COMPUTED):
        return True
    lines = text.split("\n")
    return any(("import" in one or "from" in one) and _INSIDE.search(one) for one in lines)


def _statements(text: str) -> Iterator[Import]:
    """Yield the imports of a source by its lines, whether it is valid or not; those in texts of
    several lines too, which does no harm.
    """
    for match in _STATEMENT.finditer(text):
        dots, module, names, modules = match.group("dots", "module", "names", "modules")
        if modules:
            yield from (Import(name) for name in _listed(modules))
        elif module or dots:
            level = dots.count(".") + len(module) - len(module.lstrip("."))
            yield Import(module.lstrip("."), tuple(_listed(names.strip("()"))), level)


def _listed(names: str) -> Iterator[str]:
    """Yield the names of a list with commas, without what they are called."""
    for name in _COMMENT.sub("", names).split(","):
        if words := name.split():
            yield words[0]


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
        case ast.Call(func=func) if _last_name(func) in LISTING:
            yield _listed_below(node)
        case ast.Call(func=ast.Name(id="exec")):
            yield ANYTHING
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in BY_NAME - {"locate"}:
            yield ANYTHING  # handed on, and called somewhere else


def _last_name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _listed_below(call: ast.Call) -> Import:
    """Return the import of what `pkgutil` may list: all modules of the own package, or any."""
    match call.args:
        case [ast.Name(id="__path__"), *_]:
            return Import(level=1, below=True)
    return ANYTHING


# --- computed names -------------------------------------------------------------------------------


def _called(call: ast.Call) -> Import:
    """Return the import that `import_module(...)` and the like make."""
    named = {one.arg: one.value for one in call.keywords}
    first = call.args[0] if call.args else named.get("name") or named.get("path")
    if first is None:
        return ANYTHING
    text, whole = _beginning(first)
    if whole and isinstance(listed := named.get("fromlist"), ast.List | ast.Tuple):
        return Import(text, tuple(_beginning(one)[0] or "*" for one in listed.elts))
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
