"""The source of a model's folder: its modules, and what the names in them stand for.

Files are parsed when they are first needed; one that cannot be parsed counts as empty.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Self

from modelsync.models.convention import FILE
from modelsync.models.discovery import class_source, module_source
from modelsync.models.discovery.class_source import Found, Member
from modelsync.models.discovery.module_source import Function, Module
from modelsync.models.search_roots import SearchRoots
from modelsync.models.types import ModelSpec

MAX_FILES = 50
"""Files of a folder that are read."""


class Folder:
    """The modules of a model: those of its folder, and the shared ones that these import."""

    def __init__(self, roots: SearchRoots) -> None:
        self._roots = roots
        self._modules: dict[str, Module | None] = {}
        self._members: dict[int, dict[str, Member]] = {}
        self._named: dict[tuple[str, str], Found | None] = {}
        self._makers: dict[str, list[tuple[Module, Function]]] | None = None

    @classmethod
    def of(cls, spec: ModelSpec) -> Self:
        """Return the source of a model."""
        return cls(SearchRoots.of(spec))

    @property
    def etls(self) -> Module | None:
        """The file with the model; None if there is none."""
        return self.module(".".join(("", *self._roots.names, FILE.removesuffix(".py"))))

    def know(self, tree: ast.Module) -> Module:
        """Take the file with the model, which has been parsed already, and return it."""
        place = (*self._roots.names, FILE)
        module = module_source.of_tree(tree, FILE, place)
        self._modules[".".join(place).removesuffix(".py")] = module
        return module

    def module(self, name: str) -> Module | None:
        """Return a module by its name as the code imports it, or behind a dot by its path in the
        repository; None if that is no code of the repository.
        """
        path = tuple(name[1:].split(".")) if name.startswith(".") else self._roots.path_of(name)
        key = ".".join(path or ())
        if key not in self._modules:
            self._modules[key] = self._read(path) if len(self._modules) < MAX_FILES else None
        return self._modules[key]

    def _read(self, path: tuple[str, ...] | None) -> Module | None:
        place = self._roots.place(path) if path else None
        if not path or not place:
            return None
        for file, parts in (
            (place.with_name(f"{place.name}.py"), (*path[:-1], f"{path[-1]}.py")),
            (place / "__init__.py", (*path, "__init__.py")),
        ):
            if file.is_file():
                return module_source.read(file, self._roots.shown(file) or file.name, parts)
        return None

    # --- what names stand for ---------------------------------------------------------------------

    def is_object(self, module: Module, name: str) -> bool:
        """Return whether a global name is an object that outlives a call: assigned, or a class."""
        if name in module.assigned or name in module.classes:
            return not all(map(_is_of_each_thread, module.assigned.get(name, [None])))
        home, inner = self._imported(module, name)
        return home is not None and bool(inner) and self.is_object(home, inner)

    def is_own_module(self, module: Module, name: str) -> bool:
        """Return whether a global name is a module of the folder."""
        home, inner = self._imported(module, name)
        return home is not None and not inner

    def is_named(self, module: Module, name: str) -> bool:
        """Return whether a global name is known: then its attributes belong to all calls."""
        return self.is_object(module, name) or name in module.imports

    def imported_name(self, module: Module, name: str) -> str:
        """Return what a global name imports, `matplotlib.pyplot`; empty if it is no import."""
        found = module.imports.get(name)
        return ".".join(filter(None, found)) if found else ""

    def _imported(self, module: Module, name: str) -> tuple[Module | None, str]:
        """Return the module of the folder that a name is imported from, and its name there."""
        if name not in module.imports:
            return None, ""
        home, inner = module.imports[name]
        if inner and (found := self.module(f"{home}.{inner}")):
            return found, ""
        return self.module(home), inner

    # --- functions --------------------------------------------------------------------------------

    def functions(self, module: Module, name: str) -> Iterator[tuple[Module, Function]]:
        """Yield the function of a global name, if it is one of the folder."""
        if name in module.functions:
            yield module, module.functions[name]
        elif name in module.imports:
            home, inner = self._imported(module, name)
            if home is not None and inner and (inner != name or home is not module):
                yield from self.functions(home, inner)
        else:
            homes = filter(None, map(self.module, module.stars))
            for home in (one for one in homes if name in one.functions or name in one.imports):
                yield from self.functions(home, name)

    def functions_of(
        self, module: Module, name: str, attribute: str
    ) -> Iterator[tuple[Module, Function]]:
        """Yield the function that an attribute of a module or class of the folder is."""
        home, inner = self._imported(module, name)
        if home is not None and not inner:
            yield from self.functions(home, attribute)
        elif found := self.method(module, name, attribute):
            yield found

    # --- classes ----------------------------------------------------------------------------------

    def method(self, module: Module, class_name: str, name: str) -> tuple[Module, Function] | None:
        """Return a method of a class of the folder, also one of its bases there."""
        home, function = self.members(module, class_name).get(name, (module, None))
        return (home, function) if function else None

    def members(self, module: Module, class_name: str) -> dict[str, Member]:
        """Return what a class of the folder and its bases define; empty for an unknown class."""
        found = self.class_named(module, class_name)
        if found is None:
            return {}
        if (known := self._members.get(id(found[1]))) is None:
            known = self._members[id(found[1])] = class_source.members(found, self.class_of)
        return known

    def lineage(self, module: Module, class_name: str) -> list[Found]:
        """Return a class and its bases in the folder, the nearest first."""
        found = self.class_named(module, class_name)
        return class_source.lineage(found, self.class_of) if found else []

    def class_named(self, module: Module, name: str) -> Found | None:
        """Return the class that a global name stands for: it may be imported, have another name
        there, or be the class of the object that the name is.
        """
        if name in module.classes:
            return module, module.classes[name]
        key = module.file, name
        if key not in self._named:
            self._named[key] = None  # while it is looked for: names may go round in circles
            self._named[key] = self._class_from_elsewhere(module, name)
        return self._named[key]

    def _class_from_elsewhere(self, module: Module, name: str) -> Found | None:
        for value in module.assigned.get(name, []):
            made = value.func if isinstance(value, ast.Call) else value
            if made is not None and (found := self.class_of(module, made)):
                return found
        if name in module.imports:
            home, inner = self._imported(module, name)
            return self.class_named(home, inner) if home is not None and inner else None
        homes = (self.module(star) for star in module.stars)
        return next(filter(None, (self.class_named(home, name) for home in homes if home)), None)

    def class_of(self, module: Module, node: ast.expr) -> Found | None:
        """Return the class that an expression in a module names, None if it is none of here."""
        match node:
            case ast.Name(id=name):
                return self.class_named(module, name)
            case ast.Subscript(value=value):  # `Base[int]`
                return self.class_of(module, value)
            case ast.Attribute(value=value, attr=name):
                home = self._module_of(module, value)
                return self.class_named(home, name) if home else None
        return None

    def _module_of(self, module: Module, node: ast.expr) -> Module | None:
        """Return the module of the folder that an expression such as `steps` names."""
        top, *inner = ast.unparse(node).split(".")
        if top not in module.imports:
            return None
        return self.module(".".join(filter(None, [*module.imports[top], *inner])))

    def methods_named(self, name: str) -> Iterator[tuple[Module, Function]]:
        """Yield the methods of that name of all classes that have been read."""
        for module in list(self._read_modules()):
            for node in module.classes.values():
                for item in module_source.statements(node.body):
                    if (
                        isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)
                        and item.name == name
                    ):
                        yield module, item

    def _read_modules(self) -> Iterator[Module]:
        """Yield the modules that have been read, and those that they import."""
        waiting, seen = [one for one in self._modules.values() if one], set()
        while waiting:
            module = waiting.pop()
            if id(module) in seen:
                continue
            seen.add(id(module))
            yield module
            for name in module.imports:
                home, _ = self._imported(module, name)
                if home is not None:
                    waiting.append(home)

    # --- functions that make functions ------------------------------------------------------------

    def makers(self, module: Module, name: str) -> Iterator[tuple[Module, Function]]:
        """Yield the functions whose result a global name is, or that decorate its function."""
        for value in module.assigned.get(name, []):
            if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
                yield from self.functions(module, value.func.id)
        for home, function in self.functions(module, name):
            for decorator in function.decorator_list:
                called = decorator.func if isinstance(decorator, ast.Call) else decorator
                if isinstance(called, ast.Name):
                    yield from self.functions(home, called.id)

    def makers_of_attribute(self, attribute: str) -> Iterator[tuple[Module, Function]]:
        """Yield the functions of the folder whose result is assigned to `self.<attribute>`."""
        if self._makers is None:
            self._makers = {}
            for module in self._read_modules():
                for node in module.classes.values():
                    self._note_makers(module, node, self._makers)
        yield from self._makers.get(attribute, [])

    def _note_makers(
        self, module: Module, node: ast.ClassDef, makers: dict[str, list[tuple[Module, Function]]]
    ) -> None:
        for item in ast.walk(node):
            match item:
                case ast.Assign(targets=targets, value=ast.Call(func=ast.Name(id=name))):
                    for target in targets:
                        if isinstance(target, ast.Attribute):
                            found = self.functions(module, name)
                            makers.setdefault(target.attr, []).extend(found)


def _is_of_each_thread(value: ast.expr | None) -> bool:
    """Return whether an expression is `threading.local()`, whose attributes no threads share."""
    match value:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name == "local"
    return False
