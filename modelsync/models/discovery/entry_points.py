"""Chooses what in an `etls.py` is the model: a class, an object, or a plain function."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modelsync.models.convention import BATCH, METHOD
from modelsync.models.discovery import (
    class_source,
    no_entry_point,
    training_methods,
)
from modelsync.models.discovery.class_source import Member
from modelsync.models.discovery.folder_source import Folder
from modelsync.models.discovery.module_source import Module
from modelsync.models.types import Fault


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """What is the model: the name of a class, or of an object, at the top of `etls.py`; or of a
    plain function. `members`: what is known of the class; of functions, those that answer requests.
    """

    class_name: str = ""
    function: str = ""
    members: Mapping[str, Member] = field(default_factory=dict)


def choose(folder: Folder, module: Module, tree: ast.Module, name: str) -> EntryPoint | Fault:
    """Return what is the model of the folder `name`, or the fault that nothing or several can be.

    Of several, the one that is named like the folder is meant, else the one that is named
    `transform_predict`, else the class that inherits from the others. What is imported counts where
    `etls.py` itself defines none; a class with `fit` or `train` counts where nothing predicts.
    """
    search = _Search(folder, module, name)
    for find in (search.defined, search.imported, search.trainable, search.unread):
        if (found := find()) is not None:
            return found
    return no_entry_point.fault(tree, module, name)


class _Search:
    """The names at the top of an `etls.py`, and which of them can be the model."""

    def __init__(self, folder: Folder, module: Module, name: str) -> None:
        self._folder = folder
        self._module = module
        self._name = name

    def defined(self) -> EntryPoint | Fault | None:
        """Choose among the classes and functions that the file itself defines."""
        functions = [one for one in (METHOD, BATCH) if self._is_function(one)]
        classes = self._predicting(self._module.classes)
        if self._is_made_of(classes):
            return self._entry(self._name)
        return self._choose([*classes, *functions[:1]])

    def imported(self) -> EntryPoint | Fault | None:
        """Choose among the classes of other files, and the objects that are made here."""
        module = self._module
        stars = filter(None, map(self._folder.module, module.stars))
        names = [*module.imports, *module.assigned]
        for star in stars:
            names += star.classes
        # An object whose class has a name here too counts as that: the loader takes the object.
        found = {id(self._class(one)): one for one in reversed(self._predicting(names))}
        return self._choose(list(reversed(found.values())))

    def trainable(self) -> EntryPoint | Fault | None:
        """Choose among the classes that are fitted, where none has a predicting method.

        A transformer, and an estimator beside other classes, is a part of a model; only its name
        can make it the model.
        """
        module = self._module
        for names in (list(module.classes), list(module.imports)):
            members = {one: self._functions(one) for one in names if self._class(one)}
            trainable = [one for one in members if training_methods.find(members[one])]
            if not trainable:
                continue
            if chosen := self._named(trainable) or self._named(self._unread_classes()):
                return self._entry(chosen)
            whole = [
                one
                for one in self._leaves(trainable)
                if not training_methods.is_transformer(members[one])
            ]
            nodes = {one: node for one in trainable if (node := self._class(one))}
            plain = [one for one in whole if not training_methods.is_estimator(nodes[one])]
            for some in (plain, whole):
                if len(some) == 1:
                    return self._entry(some[0])
            return training_methods.unclear(nodes, whole or trainable, self._name)
        return None

    def unread(self) -> EntryPoint | None:
        """Choose what only an import can tell: a class with a base from a library or from shared
        code, or a name that is imported from there.
        """
        module = self._module
        unread = self._unread_classes()
        leaves = self._leaves(unread)
        others = [one for one in leaves if not training_methods.is_estimator(module.classes[one])]
        if chosen := self._named(unread) or (others[0] if len(others) == 1 else None):
            return self._entry(chosen)
        constants = (ast.Constant, ast.Dict, ast.List, type(None))
        made = [
            name
            for name, values in module.assigned.items()
            if not all(isinstance(value, constants) for value in values)
        ]
        names = [one for one in (*module.imports, *made) if self._class(one) is None]
        chosen = self._named(names)
        return self._entry(chosen) if chosen else None

    # --- which of several -------------------------------------------------------------------------

    def _choose(self, found: Sequence[str]) -> EntryPoint | Fault | None:
        """Return the one that is meant, the fault that this is not clear, None if none is found."""
        if not found:
            return None
        makeable = [one for one in found if not self._missing(one)]
        if not makeable:
            return no_entry_point.abstract(found[0], self._missing(found[0]), self._line(found[0]))
        leaves = self._leaves(makeable)
        chosen = self._named(makeable) or (leaves[0] if len(leaves) == 1 else None)
        if chosen:
            return self._entry(chosen)
        lines = {one: self._line(one) for one in leaves}
        return no_entry_point.several(lines, self._name)

    def _named(self, found: Sequence[str]) -> str | None:
        """Return the one that is named like the folder, else that of the original convention."""
        folder = self._name
        if folder in found:
            return folder
        # A class cannot have a folder's hyphens: credit-risk is CreditRisk or credit_risk.
        alike = [name for name in found if _bare(name) == _bare(folder)]
        if len(alike) == 1:
            return alike[0]
        return METHOD if METHOD in found else None

    def _is_made_of(self, classes: Sequence[str]) -> bool:
        """Return whether the folder's namesake is made of classes: `type("Churn", (Base,))`."""
        made = [value for value in self._module.assigned.get(self._name, []) if value is not None]
        nodes = (node for value in made for node in ast.walk(value))
        return any(isinstance(node, ast.Name) and node.id in classes for node in nodes)

    def _leaves(self, found: Sequence[str]) -> list[str]:
        """Return those of some classes from which no other of them inherits."""
        bases = {
            id(node) for name in found for _, node in self._folder.lineage(self._module, name)[1:]
        }
        return [name for name in found if id(self._class(name)) not in bases]

    def _entry(self, name: str) -> EntryPoint:
        if not self._is_function(name) or name not in (METHOD, BATCH):
            members = self._folder.members(self._module, name)
            return EntryPoint(class_name=name, members=members)
        folder, module = self._folder, self._module
        functions: dict[str, Member] = {
            one: next(folder.functions(module, one), (module, None))
            for one in (METHOD, BATCH)
            if self._is_function(one)
        }
        return EntryPoint(function=name, members=functions)

    # --- what a name stands for -------------------------------------------------------------------

    def _class(self, name: str) -> ast.ClassDef | None:
        found = self._folder.class_named(self._module, name)
        return found[1] if found else None

    def _predicting(self, names: Sequence[str] | Mapping[str, object]) -> list[str]:
        """Return those of some names that are classes which predict, or objects of such."""
        return [
            name
            for name in dict.fromkeys(names)
            if (node := self._class(name)) is not None
            and not class_source.is_protocol(node)
            and not self._folder.members(self._module, name).keys().isdisjoint((METHOD, BATCH))
        ]

    def _functions(self, name: str) -> training_methods.Members:
        found = self._folder.members(self._module, name)
        return {one: function for one, (_, function) in found.items()}

    def _missing(self, name: str) -> list[str]:
        found = self._folder.class_named(self._module, name)
        return class_source.missing(found, self._folder.class_of) if found else []

    def _unread_classes(self) -> list[str]:
        """Return the classes of the file with a base that cannot be read."""
        module, folder = self._module, self._folder
        return [
            name
            for name, node in module.classes.items()
            if class_source.outside((module, node), folder.class_of)
        ]

    def _is_function(self, name: str) -> bool:
        """Return whether a name at the top is a function, or may be one: it is no class, nor an
        object that cannot be called.
        """
        module, folder = self._module, self._folder
        known = name in module.functions or name in module.assigned or name in module.imports
        if not known and not any(folder.functions(module, name)):
            return False
        if self._class(name) is None:
            return True
        made = any(isinstance(value, ast.Call) for value in module.assigned.get(name, []))
        return made and "__call__" in folder.members(module, name)

    def _line(self, name: str) -> int:
        """Return the line in `etls.py` where a name is bound."""
        return self._module.lines.get(name, 1)


def _bare(name: str) -> str:
    return name.replace("-", "").replace("_", "").lower()
