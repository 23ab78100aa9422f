"""The source of modelsync keeps to the rules of the house that no linter knows."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "modelsync"

LONGEST = 300
"""Lines of a file."""

UNDOCUMENTED = 15
"""Lines that a function may have without a docstring."""

NAMELESS = {"utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"}
"""Names of modules and packages that say nothing of what is in them."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def sources() -> dict[str, str]:
    """The text of each file of the package, by its path."""
    found = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    assert len(found) > 50
    return {name: found[name] for name in sorted(found)}


@cache
def trees() -> dict[str, ast.Module]:
    """The same, parsed."""
    return {name: ast.parse(text) for name, text in sources().items()}


def public_classes(tree: ast.Module) -> Iterator[str]:
    """The public classes and protocols at the top of a module."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def functions(node: ast.AST, inside: str = "") -> Iterator[tuple[str, Function]]:
    """All functions and methods below a node, with their qualified names."""
    for child in ast.iter_child_nodes(node):
        name = inside
        if isinstance(child, Function | ast.ClassDef):
            name = f"{inside}.{child.name}".lstrip(".")
        if isinstance(child, Function):
            yield name, child
        yield from functions(child, name)


def test_no_two_public_classes_share_a_name() -> None:
    """A name that is read in a traceback or a text leads to one class."""
    places = defaultdict(list)
    for file, tree in trees().items():
        for name in public_classes(tree):
            places[name].append(file)
    assert {name: files for name, files in places.items() if len(files) > 1} == {}


def test_long_functions_are_documented() -> None:
    """A function over 15 lines says what it does, decorators and signature apart."""
    found = [
        f"{file}:{node.lineno} {name}"
        for file, tree in trees().items()
        for name, node in functions(tree)
        if (node.end_lineno or 0) - node.body[0].lineno + 1 > UNDOCUMENTED
        and ast.get_docstring(node) is None
        and node.name != "__init__"  # the class says it
    ]
    assert found == []


def test_files_are_short() -> None:
    """No file has more than 300 lines."""
    lengths = {name: text.count("\n") for name, text in sources().items()}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def test_modules_are_named_by_what_they_hold() -> None:
    """No module or package is called utils, helpers, common or manager, alone or in part."""
    words = {
        name: {word for part in Path(name).with_suffix("").parts for word in part.split("_")}
        for name in sources()
    }
    assert {name for name, found in words.items() if found & NAMELESS} == set()
