"""Reads from the source of a class which methods of a trained model it has."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from modelsync.models.convention import BATCH, FILE, LIFECYCLE, METHOD, PREDICT
from modelsync.models.discovery.module_source import Function
from modelsync.models.types import Fault

Members = dict[str, Function | None]
"""The methods of a class by name; None for one that is assigned from something else."""

DATA = "data"
"""The parameter of `train` that gets the rows of the declared source."""

DAYS = ("date", "day")
"""The parameter of `fill`: what a class fills otherwise, such as gaps, takes other arguments."""

ESTIMATOR_BASES = {
    "BaseEstimator",
    "BiclusterMixin",
    "ClassifierMixin",
    "ClusterMixin",
    "DensityMixin",
    "MetaEstimatorMixin",
    "Module",
    "OutlierMixin",
    "RegressorMixin",
    "TransformerMixin",
}
"""Bases of parts of a model: estimators of scikit-learn, modules of torch."""


def find(members: Members) -> tuple[str, ...]:
    """Return the methods of `convention.LIFECYCLE` that a class has, sorted; none if nothing trains
    it.

    `train` must need no argument but `data`: that of torch's modules, or of a model with a meaning
    of its own, is another method. `fill` must take the date alone. The others must take their data.
    """
    found = [name for name in LIFECYCLE if name in members and _fits(name, members[name])]
    return tuple(sorted(found)) if {"fit", "train"} & set(found) else ()


def takes_rows(members: Members) -> bool:
    """Return whether the `train` of a class takes the rows of its source."""
    function = members.get("train")
    return function is not None and DATA in [one.arg for one in _named(function)]


def _fits(name: str, function: Function | None) -> bool:
    if function is None:
        return True
    required, most = _counts(function)
    if name == "train":
        return required - _needs(function, DATA) == 0
    if name == "fill":
        return required <= 1 and any(one.arg in DAYS for one in _named(function))
    return most >= (2 if name == "accept" else 1)


def _named(function: Function) -> list[ast.arg]:
    """Return the parameters that have names."""
    arguments = function.args
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]


def _needs(function: Function, name: str) -> bool:
    """Return whether a parameter of that name has no default."""
    arguments = function.args
    given = [*arguments.posonlyargs, *arguments.args]
    required = given[: len(given) - len(arguments.defaults)]
    pairs = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    required += [one for one, default in pairs if default is None]
    return name in [one.arg for one in required]


def _counts(function: Function) -> tuple[int, float]:
    """Return how many positional arguments a call needs, and how many it may have."""
    arguments = function.args
    given = len(arguments.posonlyargs) + len(arguments.args)
    if not any(isinstance(one, ast.Name) and one.id == "staticmethod" for one in
               function.decorator_list):  # fmt: skip
        given = max(given - 1, 0)  # self
    named = sum(default is None for default in arguments.kw_defaults)
    required = max(given - len(arguments.defaults), 0) + named
    return required, float("inf") if arguments.vararg else given + len(arguments.kwonlyargs)


def base_name(base: ast.expr) -> str:
    """Return the name of a base without modules before it and types in brackets after it."""
    match base:
        case ast.Subscript(value=value):
            return base_name(value)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def is_transformer(members: Members) -> bool:
    """Return whether a class prepares data for others: `fit` and `transform`, but no `predict`."""
    return "transform" in members and PREDICT not in members and "train" not in members


def is_estimator(node: ast.ClassDef) -> bool:
    """Return whether a class is an estimator by its bases, which another class may use."""
    return not ESTIMATOR_BASES.isdisjoint(map(base_name, node.bases))


def unclear(classes: Mapping[str, ast.ClassDef], trainable: Sequence[str], folder: str) -> Fault:
    """Return the fault of a file none of whose classes with `fit` is the model by itself."""
    name = folder.replace("-", "_")
    if len(trainable) == 1:
        [one] = trainable
        return Fault(
            "static",
            f"no class with a {METHOD} method; {one} has fit and transform, which makes it a "
            "transformer, a part of a model",
            FILE,
            classes[one].lineno,
            hint=f"write class {name} with fit(self, x, y) that returns the fitted model, "
            f"or with {METHOD}; or name {one} {name} if it is the model itself",
        )
    listed = ", ".join(f"{one} (line {classes[one].lineno})" for one in trainable)
    return Fault(
        "static",
        f"no class with a {METHOD} method, and several with fit or train: {listed}",
        FILE,
        classes[trainable[1]].lineno,
        hint=f"name the one that is the model {name}",
    )


def fault(members: Members) -> Fault | None:
    """Return why a class cannot answer tables beside single requests; None if it can."""
    found, predict = find(members), members.get(PREDICT)
    single = members.get(METHOD) or members.get(BATCH)
    if not found or not single or not isinstance(predict, ast.AsyncFunctionDef):
        return None
    if isinstance(single, ast.AsyncFunctionDef):
        return None
    message = f"async def {PREDICT} beside a plain def {single.name}"
    hint = f"make both plain, or both async; without {PREDICT}, that of self.model answers tables"
    return Fault("static", message, FILE, predict.lineno, hint=hint)
