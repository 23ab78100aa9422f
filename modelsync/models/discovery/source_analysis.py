"""Reads an `etls.py`, without running it: which class is the model, and how its method behaves."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import replace

from modelsync.models.convention import BATCH, FILE, LIFECYCLE, METHOD, PREDICT
from modelsync.models.data_schema import NO_PLAN, TrainingPlan
from modelsync.models.discovery import training_methods, training_plan
from modelsync.models.discovery.folder_source import Folder
from modelsync.models.discovery.module_source import Function
from modelsync.models.discovery.self_writes import writes_self
from modelsync.models.discovery.training_methods import Members, base_name
from modelsync.models.types import Fault, ModelSpec

# Bases without `transform_predict`: a class of these alone cannot inherit it.
PLAIN_BASES = {
    "object",
    "ABC",
    "Protocol",
    "Generic",
    "BaseModel",
    "TypedDict",
    "NamedTuple",
    "Enum",
    "Exception",
}


def describe(spec: ModelSpec, source: bytes) -> ModelSpec:
    """Return the spec with the properties found in the text of its `etls.py`, or with a fault.

    Of several classes with the method, the one that is named like the model is meant. Without one,
    a class with `fit` or `train` is the model.
    """
    tree = _parse(source)
    if isinstance(tree, Fault):
        return replace(spec, fault=tree)
    classes = {node.name: node for node in _classes(tree.body)}
    chosen = _choose(classes, spec.name)
    if isinstance(chosen, Fault):
        return replace(spec, fault=chosen)
    members = _members(classes, chosen)
    if _inherits_from_elsewhere(classes, chosen):
        members = {**_inherited(spec, chosen), **members}
    found = training_methods.find(members)
    method = members.get(METHOD)
    predicting = {METHOD, BATCH, PREDICT} if found else {METHOD, BATCH}
    if found and members.keys().isdisjoint((METHOD, BATCH)):
        method = members.get(PREDICT)
    return replace(
        spec,
        class_name=chosen,
        writes_self=writes_self(members, chosen, predicting),
        is_async=isinstance(method, ast.AsyncFunctionDef),
        methods=found,
        plan=_plan(spec, chosen, members) if found else NO_PLAN,
        fault=_batch_fault(members.get(METHOD), members.get(BATCH))
        or training_methods.fault(members),
    )


def _plan(spec: ModelSpec, chosen: str, members: Members) -> TrainingPlan:
    plan, _ = training_plan.read(replace(spec, class_name=chosen))
    return replace(plan, takes_rows=training_methods.takes_rows(members))


def _parse(source: bytes) -> ast.Module | Fault:
    try:
        return ast.parse(source, FILE)
    except SyntaxError as error:
        return Fault("static", f"{type(error).__name__}: {error.msg}", FILE, error.lineno or None)
    except (ValueError, RecursionError, MemoryError) as error:
        # A null byte, or nesting that is too deep for the parser.
        return Fault("static", f"{FILE} cannot be parsed: {error or type(error).__name__}", FILE)


def _classes(body: Sequence[ast.stmt]) -> Iterator[ast.ClassDef]:
    """Yield the classes of a module, also those in an `if`, `try` or `with` at its top level."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield node
        elif isinstance(node, ast.If | ast.Try | ast.With):
            for part in ("body", "orelse", "finalbody"):
                yield from _classes(getattr(node, part, []))
            for handler in getattr(node, "handlers", []):
                yield from _classes(handler.body)


# --- the class ------------------------------------------------------------------------------------


def _choose(classes: dict[str, ast.ClassDef], folder: str) -> str | Fault:
    """Return the name of the class that is the model, or the fault that none or several can be."""
    found = [
        name for name in classes if not _members(classes, name).keys().isdisjoint((METHOD, BATCH))
    ]
    if not found:
        return _choose_trainable(classes, folder)
    if len(found) == 1:
        return found[0]
    bases = {base for name in found for base in _bases(classes[name])}
    leaves = [name for name in found if name not in bases]
    if chosen := _named(found, folder) or (leaves[0] if len(leaves) == 1 else None):
        return chosen
    listed = ", ".join(f"{name} (line {classes[name].lineno})" for name in found)
    return Fault(
        "static",
        f"several classes have a {METHOD} method: {listed}",
        FILE,
        classes[found[1]].lineno,
        hint=f"name one of them {folder.replace('-', '_')} or {METHOD}, "
        "or rename the method in the others",
    )


def _choose_trainable(classes: dict[str, ast.ClassDef], folder: str) -> str | Fault:
    """Return the class that is the model where none has a predicting method of its own.

    It may inherit one from a class of another file, which only an import can tell. Otherwise it is
    the class with `fit` or `train`. A transformer, and an estimator beside other classes, is a part
    of a model; only its name can make it the model.
    """
    found = {name: _members(classes, name) for name in classes}
    trainable = [name for name in classes if training_methods.find(found[name])]
    inheriting = [name for name in classes if _inherits_from_elsewhere(classes, name)]
    for names in (trainable, inheriting):
        if chosen := _named(names, folder):
            return chosen
    bases = {base for name in trainable for base in _bases(classes[name])}
    whole = [
        name
        for name in trainable
        if name not in bases and not training_methods.is_transformer(found[name])
    ]
    plain = [name for name in whole if not training_methods.is_estimator(classes[name])]
    for names in (plain, whole):
        if len(names) == 1:
            return names[0]
    if not trainable:
        return _no_class(classes, folder)
    return training_methods.unclear(classes, whole or trainable, folder)


def _no_class(classes: dict[str, ast.ClassDef], folder: str) -> Fault:
    seen = f" (classes: {', '.join(classes)})" if classes else ""
    method = f"def {METHOD}(self, variables) that returns a dict"
    trained = "with def fit(self, x, y) that returns a fitted model"
    hint = f"write class {folder.replace('-', '_')} with {method}, or {trained}"
    return Fault("static", f"no class with a {METHOD} method{seen}", FILE, hint=hint)


def _named(found: Sequence[str], folder: str) -> str | None:
    """Return the class that is named like the folder, else that of the original convention."""
    if folder in found:
        return folder
    # A class cannot have a folder's hyphens: credit-risk is CreditRisk or credit_risk.
    alike = [name for name in found if _bare(name) == _bare(folder)]
    if len(alike) == 1:
        return alike[0]
    return METHOD if METHOD in found else None


def _bare(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()


def _bases(node: ast.ClassDef) -> list[str]:
    return [base.id for base in node.bases if isinstance(base, ast.Name)]


def _inherits_from_elsewhere(classes: dict[str, ast.ClassDef], name: str) -> bool:
    """Return whether a class has a base outside of this file that may have the method."""
    others = {key: node for key, node in classes.items() if key != name}
    for base in map(base_name, classes[name].bases):
        if base in others:
            if _inherits_from_elsewhere(others, base):
                return True
        elif base != name and base not in PLAIN_BASES:
            return True
    return False


def _inherited(spec: ModelSpec, class_name: str) -> Members:
    """Return the training methods that a class has from bases in other files of its folder."""
    folder = Folder.of(spec)
    if (module := folder.etls) is None:
        return {}
    found = {name: folder.method(module, class_name, name) for name in LIFECYCLE}
    return {name: method[1] for name, method in found.items() if method}


def _members(
    classes: dict[str, ast.ClassDef], name: str, seen: frozenset[str] = frozenset()
) -> Members:
    """Return the methods of a class and of its bases in this file, by name.

    None stands for one that is assigned from something else than a method of the class.
    """
    members: Members = {}
    for base in reversed(_bases(classes[name])):
        if base in classes and base not in seen and base != name:
            members.update(_members(classes, base, seen | {name}))
    for node in classes[name].body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            members[node.name] = node
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    alias = node.value.id if isinstance(node.value, ast.Name) else ""
                    members[target.id] = members.get(alias)
    return members


# --- its methods ----------------------------------------------------------------------------------


def _batch_fault(method: Function | None, batch: Function | None) -> Fault | None:
    """Return why a class's batch method cannot be called; None if it can."""
    if batch is None:
        return None
    for function in (batch, method):
        if isinstance(function, ast.AsyncFunctionDef):
            return Fault(
                "static",
                f"async def {function.name}: a batch is called, not awaited",
                FILE,
                function.lineno,
                hint=f"make it a plain def, or leave out {BATCH}",
            )
    given = [*batch.args.posonlyargs, *batch.args.args]
    optional = len(batch.args.defaults)
    extra = any(default is None for default in batch.args.kw_defaults)
    takes_rows = (len(given) >= 2 and len(given) - optional <= 2) and not extra  # self and the rows
    if takes_rows or batch.decorator_list or (batch.args.vararg and len(given) <= 2 and not extra):
        return None
    return Fault(
        "static",
        f"{BATCH} must take one argument: the rows",
        FILE,
        batch.lineno,
        hint=f"def {BATCH}(self, rows: list) -> list",
    )
