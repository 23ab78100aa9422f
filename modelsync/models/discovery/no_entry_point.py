"""The faults of an `etls.py` in which nothing, or more than one thing, can be the model."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches

from modelsync.models.convention import BATCH, FILE, METHOD
from modelsync.models.discovery.module_source import Function, Module, statements
from modelsync.models.types import Fault

NO_METHOD = f"no class with a {METHOD} method, and no function of that name"

OTHER_NAMES = ("predict", "transform", "score", "infer", "run")
"""What others call the method that answers a request."""


def several(lines: Mapping[str, int], folder: str) -> Fault:
    """Return the fault of several names that can be the model; `lines`: where they are bound."""
    listed = ", ".join(f"{name} (line {line})" for name, line in lines.items())
    return Fault(
        "static",
        f"several classes have a {METHOD} method: {listed}",
        FILE,
        sorted(lines.values())[1],
        hint=f"name one of them {_class_name(folder)} or {METHOD}, "
        "or rename the method in the others",
    )


def abstract(name: str, missing: Sequence[str], line: int) -> Fault:
    """Return the fault of an abstract class beside which no other can be the model."""
    methods = ", ".join(missing)
    return Fault(
        "static",
        f"class {name} is abstract, and no class here defines what it lacks: {methods}",
        FILE,
        line,
        hint=f"write a class that inherits from {name} and defines {methods}",
    )


def fault(tree: ast.Module, module: Module, folder: str) -> Fault:
    """Return why nothing in a file can be the model: where the method is instead, or what has
    another name.
    """
    if found := next(_hidden(tree), None):
        function, inside = found
        return Fault(
            "static",
            f"{NO_METHOD}: {function.name} is inside of {inside}, where an import does not find it",
            FILE,
            function.lineno,
            hint=f"move it, with its class if it has one, to the top of {FILE}",
        )
    if other := _other_name(module):
        function, owner = other
        place = f"class {owner} has {function.name}" if owner else f"there is def {function.name}"
        signature = f"def {METHOD}({'self, ' if owner else ''}variables)"
        return Fault(
            "static",
            f"{NO_METHOD}{_listed(module)}; {place}",
            FILE,
            function.lineno,
            hint=f"if it takes variables and returns a dict, rename it: {signature}",
        )
    method = f"def {METHOD}(self, variables) that returns a dict"
    trained = "with def fit(self, x, y) that returns a fitted model"
    hint = f"write class {_class_name(folder)} with {method}, or {trained}"
    stars = f"; what `from {module.stars[0]} import *` brings is not known" if module.stars else ""
    return Fault("static", f"{NO_METHOD}{_listed(module)}{stars}", FILE, hint=hint)


def _class_name(folder: str) -> str:
    return folder.replace("-", "_")


def _listed(module: Module) -> str:
    return f" (classes: {', '.join(module.classes)})" if module.classes else ""


def _hidden(tree: ast.Module) -> Iterator[tuple[Function, str]]:
    """Yield the predicting functions of a file that are not at its top nor in a class there, each
    with what it is inside of.
    """
    seen = {id(node) for node in statements(tree.body)}
    waiting: list[tuple[ast.AST, str]] = [(tree, "")]
    while waiting:
        node, inside = waiting.pop()
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                if node.name in (METHOD, BATCH) and inside:
                    yield node, inside
                inside = inside or f"def {node.name}"
            case ast.ClassDef() if id(node) in seen:
                waiting += [(one, "") for one in node.body if not isinstance(one, ast.ClassDef)]
                waiting += [(one, f"class {node.name}") for one in node.body
                            if isinstance(one, ast.ClassDef)]  # fmt: skip
                continue
            case ast.If(test=test) if id(node) in seen and not inside:
                skipped = [one for one in node.body if id(one) not in seen]
                waiting += [(one, f"if {ast.unparse(test)}") for one in skipped]
                waiting += [(one, "") for one in (*node.body, *node.orelse) if id(one) in seen]
                continue
        waiting += [(one, inside) for one in ast.iter_child_nodes(node)]


def _other_name(module: Module) -> tuple[Function, str] | None:
    """Return a function or method whose name is nearly that of the method, or usual elsewhere."""
    functions: dict[str, tuple[Function, str]] = {
        name: (node, "") for name, node in module.functions.items()
    }
    for owner in module.classes.values():
        for node in owner.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                functions[node.name] = node, owner.name
    close = get_close_matches(METHOD, functions, n=1, cutoff=0.75)
    for name in (*close, *OTHER_NAMES):
        if name in functions:
            return functions[name]
    return None
