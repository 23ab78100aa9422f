"""Reads an `etls.py`, without running it: what is the model, and how its methods behave."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import replace

from modelsync.models import script_hints
from modelsync.models.convention import BATCH, FILE, METHOD, PREDICT
from modelsync.models.data_schema import NO_PLAN, TrainingPlan
from modelsync.models.discovery import (
    entry_points,
    training_methods,
    training_plan,
)
from modelsync.models.discovery.class_source import Member
from modelsync.models.discovery.folder_source import Folder
from modelsync.models.discovery.module_source import Function
from modelsync.models.discovery.self_writes import writes_self
from modelsync.models.discovery.training_methods import Members
from modelsync.models.types import Fault, ModelSpec


def describe(spec: ModelSpec, source: bytes) -> ModelSpec:
    """Return the spec with the properties found in the text of its `etls.py`, or with a fault."""
    tree = _parse(source)
    if isinstance(tree, Fault):
        return replace(spec, fault=tree)
    folder = Folder.of(spec)
    entry = entry_points.choose(folder, folder.know(tree), tree, spec.name)
    if isinstance(entry, Fault):
        return replace(spec, fault=entry)
    if entry.function:
        return _with_functions(replace(spec, function=entry.function), entry.members)
    return _with_class(replace(spec, class_name=entry.class_name), entry.members)


def _with_functions(spec: ModelSpec, found: Mapping[str, Member]) -> ModelSpec:
    """Describe a model that is a plain function: it has no instance, and nothing trains it."""
    _, function = found.get(METHOD) or found[BATCH]
    is_async = isinstance(function, ast.AsyncFunctionDef)
    return replace(spec, is_async=is_async, fault=_fault(found, bound=False))


def _with_class(spec: ModelSpec, found: Mapping[str, Member]) -> ModelSpec:
    """Describe a model that is a class, or an object of one, by its methods."""
    members = {name: function for name, (_, function) in found.items()}
    methods = training_methods.find(members)
    method = members.get(METHOD)
    predicting = {METHOD, BATCH, PREDICT} if methods else {METHOD, BATCH}
    if methods and members.keys().isdisjoint((METHOD, BATCH)):
        method = members.get(PREDICT)
    return replace(
        spec,
        writes_self=writes_self(members, spec.class_name, predicting),
        is_async=isinstance(method, ast.AsyncFunctionDef),
        methods=methods,
        plan=_plan(spec, members) if methods else NO_PLAN,
        fault=_fault(found, bound=True) or training_methods.fault(members),
    )


def _plan(spec: ModelSpec, members: Members) -> TrainingPlan:
    plan, _ = training_plan.read(spec)
    return replace(plan, takes_rows=training_methods.takes_rows(members))


def _parse(source: bytes) -> ast.Module | Fault:
    try:
        return ast.parse(source, FILE)
    except SyntaxError as error:
        message = f"{type(error).__name__}: {error.msg}"
        return Fault("static", message, FILE, error.lineno or None, script_hints.of_syntax(error))
    except (ValueError, RecursionError, MemoryError) as error:
        # A null byte, or nesting that is too deep for the parser.
        return Fault("static", f"{FILE} cannot be parsed: {error or type(error).__name__}", FILE)


# --- its methods ----------------------------------------------------------------------------------


def _fault(found: Mapping[str, Member], *, bound: bool) -> Fault | None:
    """Return why the predicting methods cannot be called; None if they can.

    `bound`: they are methods, whose first argument is the instance.
    """
    for name in (METHOD, BATCH):
        home, function = found.get(name, (None, None))
        if home is None or function is None or function.decorator_list:
            continue  # a decorator may make anything of it
        if fault := _of_function(function, bound=bound) or _of_batch(function, bound=bound):
            return replace(fault, file=home.file)
    (home, batch), (_, single) = found.get(BATCH, NOTHING), found.get(METHOD, NOTHING)
    if home and batch and isinstance(single, ast.AsyncFunctionDef):
        return replace(_awaited(single), file=home.file)
    return None


NOTHING = (None, None)


def _of_function(function: Function, *, bound: bool) -> Fault | None:
    """Return why a function gives no dict, or why its arguments would be others than meant."""
    arguments = ast.unparse(function.args)
    signature = f"def {function.name}({arguments})"
    if function.name == METHOD and (line := _line_of_yield(function)):
        message = f"{METHOD} is a generator, because of the yield in line {line}: it gives no dict"
        return Fault("static", message, FILE, line, hint="return one dict")
    given = [*function.args.posonlyargs, *function.args.args]
    first = given[0].arg if given else ""
    if not bound and first == "self":
        hint = "leave out self, or put it into a class"
        message = f"{signature} is a plain function, so nothing fills self"
        return Fault("static", message, FILE, function.lineno, hint=hint)
    if bound and not function.args.vararg and not (first and _is_instance(function, first)):
        hint = f"def {function.name}(self{', ' if arguments else ''}{arguments})"
        return Fault("static", f"{signature} has no self", FILE, function.lineno, hint=hint)
    return None


def _is_instance(function: Function, name: str) -> bool:
    """Return whether the only parameter of a method can be the instance: variables have a type, or
    are subscripted.
    """
    arguments = function.args
    if name in ("self", "cls") or len([*arguments.posonlyargs, *arguments.args]) > 1:
        return True
    if next(one for one in (*arguments.posonlyargs, *arguments.args)).annotation:
        return False
    subscripted = [node.value for node in ast.walk(function) if isinstance(node, ast.Subscript)]
    return not any(isinstance(one, ast.Name) and one.id == name for one in subscripted)


def _line_of_yield(function: Function) -> int | None:
    """Return the line of a `yield` of a function itself, not of one inside of it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return node.lineno
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting += ast.iter_child_nodes(node)
    return None


def _of_batch(batch: Function, *, bound: bool) -> Fault | None:
    """Return why a batch method cannot be called; None if it can, and for another method."""
    if batch.name != BATCH:
        return None
    if isinstance(batch, ast.AsyncFunctionDef):
        return _awaited(batch)
    arguments = batch.args
    given = len([*arguments.posonlyargs, *arguments.args]) - bound
    extra = any(default is None for default in arguments.kw_defaults)
    takes_rows = given >= 1 and given - len(arguments.defaults) <= 1 and not extra
    if takes_rows or (arguments.vararg and given <= 1 and not extra):
        return None
    signature = f"def {BATCH}({'self, ' if bound else ''}rows: list) -> list"
    message = f"{BATCH} must take one argument: the rows"
    return Fault("static", message, FILE, batch.lineno, hint=signature)


def _awaited(function: Function) -> Fault:
    message = f"async def {function.name}: a batch is called, not awaited"
    hint = f"make it a plain def, or leave out {BATCH}"
    return Fault("static", message, FILE, function.lineno, hint=hint)
