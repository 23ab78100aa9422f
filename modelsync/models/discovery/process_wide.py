"""Finds what the calls of a model change for their whole process, by reading its folder's source.

The check sees what a call leaves behind. What it changes for a while (`os.chdir`, `numpy.random
.seed`, `redirect_stdout`) is right in a script, and wrong beside the calls of other models: that a
model's own calls wait for each other is not enough. So such a model gets a runner.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from modelsync.models.discovery import predicting_functions
from modelsync.models.discovery.folder_source import Folder
from modelsync.models.discovery.known_effects import GLOBAL_STATE, PROCESS_WIDE_CALLS
from modelsync.models.discovery.module_source import Function, Module
from modelsync.models.discovery.self_writes import MUTATORS
from modelsync.models.types import ModelSpec

ENVIRONMENT = "os.environ"


def find_process_wide(spec: ModelSpec) -> str:
    """Return the first thing that a call of the model changes for its whole process, such as
    `os.chdir`; empty if there is none.
    """
    source = Folder.of(spec)
    waiting = [(one.module, one.function) for one in predicting_functions.find(source, spec)]
    seen: set[int] = set()
    while waiting:
        home, function = waiting.pop()
        if id(function) in seen:
            continue
        seen.add(id(function))
        names = _Names(home, function)
        for node in names.nodes:
            if change := _change(node, names):
                return change
            if isinstance(node, ast.Call):
                waiting += _called(source, home, node)
    return ""


class _Names:
    """The full names of what a function refers to, by the imports of its module and its own."""

    def __init__(self, module: Module, function: Function) -> None:
        self.nodes = list(ast.walk(function))
        self._imports = {name: ".".join(filter(None, of)) for name, of in module.imports.items()}
        for node in self.nodes:
            match node:
                case ast.Import(names=names):
                    for one in names:
                        top = one.name.partition(".")[0]
                        self._imports[one.asname or top] = one.name if one.asname else top
                case ast.ImportFrom(module=str() as home, names=names, level=0):
                    self._imports |= {one.asname or one.name: f"{home}.{one.name}" for one in names}
                case ast.arg(arg=name) | ast.Name(id=name, ctx=ast.Store()):
                    self._imports.pop(name, None)

    def of(self, node: ast.expr) -> str:
        """Return the full name of an expression, `numpy.random.seed`; empty if nothing imported."""
        match node:
            case ast.Name(id=name):
                return self._imports.get(name, "")
            case ast.Attribute(value=value, attr=attr):
                return f"{home}.{attr}" if (home := self.of(value)) else ""
        return ""


def _change(node: ast.AST, names: _Names) -> str:
    """Return what a node changes for the whole process; empty if nothing."""
    match node:
        case ast.Call(func=func):
            return _change_of_call(node, names.of(func))
        case ast.Assign(targets=targets) | ast.Delete(targets=targets):
            return next(filter(None, (_target(one, names) for one in targets)), "")
        case ast.AugAssign(target=target):
            return _target(target, names)
    return ""


def _target(target: ast.expr, names: _Names) -> str:
    """Return `os.environ`, or the standard stream, that a target changes; else the empty text."""
    match target:
        case ast.Subscript(value=value) if names.of(value) == ENVIRONMENT:
            return ENVIRONMENT
        case ast.Attribute() if (name := names.of(target)) in ("sys.stdout", "sys.stderr"):
            return name
    return ""


def _change_of_call(call: ast.Call, name: str) -> str:
    home, _, last = name.rpartition(".")
    if name in PROCESS_WIDE_CALLS or home in GLOBAL_STATE:
        return name
    if home == ENVIRONMENT and last in MUTATORS - {"setdefault"}:
        return ENVIRONMENT
    if home == "warnings" and _changes_warnings(call, last):
        return name
    return ""


def _changes_warnings(call: ast.Call, name: str) -> bool:
    """Return whether a call decides by warnings what a model answers: most of them only ignore
    some.
    """
    if name == "catch_warnings":
        return any(one.arg == "record" for one in call.keywords)
    parts = [part for one in call.args for part in ast.walk(one)]
    raises = any(isinstance(one, ast.Constant) and one.value == "error" for one in parts)
    return name in ("simplefilter", "filterwarnings") and raises


def _called(source: Folder, module: Module, call: ast.Call) -> Iterator[tuple[Module, Function]]:
    """Yield the functions and methods of the folder that a call may run."""
    match call.func:
        case ast.Name(id=name):
            yield from source.functions(module, name)
        case ast.Attribute(value=value, attr=attr):
            if isinstance(value, ast.Name):
                yield from source.functions_of(module, value.id, attr)
            yield from source.methods_named(attr)
