"""Finds where calls of a model may write to what they share, by reading the source of its folder.

The predicting methods are followed into the functions, methods and classes of the folder's own
files. Shared is what outlives a call: `self`, the globals of modules, attributes of classes,
variables of closures, defaults of parameters; and a local name for such an object. What a call
makes for itself may be changed, also by functions to which it is passed. Libraries are not looked
into, except for methods and arguments that are known to change something.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

from modelsync.models.discovery import predicting_functions
from modelsync.models.discovery.folder_source import Folder
from modelsync.models.discovery.function_names import (
    assignments,
    bound_names,
    is_static,
    line_of_kept_state,
    mutable_defaults,
    stored_names,
)
from modelsync.models.discovery.known_effects import (
    CHANGING,
    ELEMENTS,
    GLOBAL_STATE,
    PASSING,
    PROCESS_WIDE,
)
from modelsync.models.discovery.module_source import Function, Module
from modelsync.models.discovery.self_writes import MUTATORS
from modelsync.models.types import ModelSpec

MAX_DEPTH = 20


class Write(NamedTuple):
    """A place where what calls share is changed."""

    file: str
    line: int


def find_write(spec: ModelSpec) -> Write | None:
    """Return the first place where a call of the model may change what calls share; None if there
    is none.
    """
    source = Folder.of(spec)
    search = _Search(source)
    for module, function, owner in predicting_functions.find(source, spec):
        try:
            write = search.write_of(module, function, shared=frozenset(filter(None, [owner])))
        except RecursionError:  # nesting that is too deep for the search: in doubt
            write = Write(module.file, function.lineno)
        if write:
            return write
    return _kept_by_maker(source, spec)


def _kept_by_maker(source: Folder, spec: ModelSpec) -> Write | None:
    """Return where a plain function changes what the one keeps that has made or decorated it."""
    if (module := source.etls) and spec.function:
        for home, maker in source.makers(module, spec.function):
            if line := line_of_kept_state(maker):
                return Write(home.file, line)
    return None


class _Search:
    """Searches functions for writes; looks at each once for the same shared parameters."""

    def __init__(self, source: Folder) -> None:
        self.source = source
        self.seen: set[tuple[int, frozenset[str]]] = set()
        self.returned: dict[tuple[int, frozenset[str]], bool] = {}
        self.depth = 0

    def write_of(
        self, module: Module, function: Function, *, shared: frozenset[str]
    ) -> Write | None:
        """Return where a function changes what is shared; `shared`: the parameters that are."""
        key = id(function), shared
        if key in self.seen or self.depth > MAX_DEPTH:
            return None
        self.seen.add(key)
        self.depth += 1
        try:
            return _FunctionSearch(self, module, function, shared).write()
        finally:
            self.depth -= 1

    def returns_shared(self, module: Module, function: Function, shared: frozenset[str]) -> bool:
        """Return whether a function may return something shared, or a part of it."""
        key = id(function), shared
        if key not in self.returned:
            self.returned[key] = False  # while it is looked at: it may call itself
            inner = _FunctionSearch(self, module, function, shared)
            results = [node.value for node in inner.nodes if isinstance(node, ast.Return)]
            self.returned[key] = any(map(inner.is_shared, results))
        return self.returned[key]


class _FunctionSearch:
    """One function: its names, which of them are shared, and the writes to them."""

    def __init__(
        self, search: _Search, module: Module, function: Function, shared: frozenset[str]
    ) -> None:
        self.search = search
        self.module = module
        self.function = function
        self.nodes = list(ast.walk(function))
        self.declared = {
            name for node in self.nodes if isinstance(node, ast.Global) for name in node.names
        }
        self.locals = set(bound_names(self.nodes)) - self.declared
        self.shared = set(shared) | set(mutable_defaults(function))
        self._follow_aliases()

    def write(self) -> Write | None:
        """Return the first write to something shared, here or in what is called from here."""
        for node in self.nodes:
            if self._writes(node):
                return Write(self.module.file, getattr(node, "lineno", self.function.lineno))
        for node in self.nodes:
            if isinstance(node, ast.Call) and (found := self._write_of_call(node)):
                return found
        return None

    # --- what is shared ---------------------------------------------------------------------------

    def _follow_aliases(self) -> None:
        """Add the local names that are given something shared, until there are no more."""
        while True:
            before = len(self.shared)
            for target, value in assignments(self.nodes):
                if self.is_shared(value):
                    self.shared.update(stored_names(target))
            if len(self.shared) == before:
                return

    def is_shared(self, node: ast.expr | None) -> bool:
        """Return whether an expression is an object that outlives the call, or a part of one."""
        match node:
            case ast.Name(id=name):
                return name in self.shared or (
                    name not in self.locals and self.search.source.is_object(self.module, name)
                )
            case ast.Attribute(value=value):
                return self._is_own_module(value) or self.is_shared(value)
            case ast.Subscript(value=value) | ast.Starred(value=value) | ast.Await(value=value):
                return self.is_shared(value)
            case ast.NamedExpr(value=value):
                return self.is_shared(value)
            case ast.IfExp(body=body, orelse=orelse):
                return self.is_shared(body) or self.is_shared(orelse)
            case ast.BoolOp(values=values):
                return any(map(self.is_shared, values))
            case ast.Call():
                return self._returns_shared(node)
        return False

    def _is_own_module(self, node: ast.expr) -> bool:
        return (
            isinstance(node, ast.Name)
            and node.id not in self.locals
            and self.search.source.is_own_module(self.module, node.id)
        )

    def _returns_shared(self, call: ast.Call) -> bool:
        match call.func:
            case ast.Attribute(value=value, attr=attr) if attr in ELEMENTS:
                return self.is_shared(value)
            case ast.Name(id="type"):
                return any(map(self.is_shared, call.args))
            case ast.Name(id=name) if name in PASSING and name not in self.locals:
                return name not in ("list", "tuple", "sorted") and any(
                    map(self.is_shared, call.args)
                )
        for module, function, shared in self._called(call):
            if self.search.returns_shared(module, function, shared):
                return True
        return False

    # --- writes -----------------------------------------------------------------------------------

    def _writes(self, node: ast.AST) -> bool:
        """Return whether a statement or a call changes something shared."""
        match node:
            case ast.Assign(targets=targets) | ast.Delete(targets=targets):
                return any(map(self._hits, targets))
            case (
                ast.AugAssign(target=target) | ast.For(target=target) | ast.AsyncFor(target=target)
            ):
                return self._hits(target)
            case ast.AnnAssign(target=target, value=value):
                return value is not None and self._hits(target)
            case ast.NamedExpr(target=target):
                return self._hits(target)
            case ast.withitem(optional_vars=ast.expr() as target):
                return self._hits(target)
            case ast.Call():
                return self._call_writes(node)
            case ast.Name(id=name) if name not in self.locals:
                return self.search.source.imported_name(self.module, name) in GLOBAL_STATE
            case ast.Import(names=names):
                return any(one.name in GLOBAL_STATE for one in names)
        return False

    def _hits(self, target: ast.expr) -> bool:
        match target:
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                return any(map(self._hits, parts))
            case ast.Starred(value=value):
                return self._hits(value)
            case ast.Name(id=name):
                return name in self.declared
            case ast.Attribute(value=ast.Name(id=name)) if name not in self.locals:
                return name in self.shared or self.search.source.is_named(self.module, name)
            case ast.Attribute(value=value) | ast.Subscript(value=value):
                return self.is_shared(value)
        return False

    def _call_writes(self, call: ast.Call) -> bool:
        """Return whether a call changes its object, or an argument, and that is shared."""
        match call.func:
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in PROCESS_WIDE:
                return True
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in CHANGING:
                if any(map(self.is_shared, call.args[:1])):
                    return True
        if any(one.arg == "out" and self.is_shared(one.value) for one in call.keywords):
            return True
        match call.func:
            case ast.Attribute(value=value, attr=name) if name in MUTATORS or _in_place(call):
                # Where the folder has the method, that is looked into.
                return self.is_shared(value) and not any(self._called(call))
        return False

    # --- calls ------------------------------------------------------------------------------------

    def _write_of_call(self, call: ast.Call) -> Write | None:
        """Return where a function of the folder that is called here writes something shared."""
        for module, function, shared in self._called(call):
            if write := self.search.write_of(module, function, shared=shared):
                return write
        return self._write_of_closure(call)

    def _called(self, call: ast.Call) -> Iterator[tuple[Module, Function, frozenset[str]]]:
        """Yield the functions of the folder that a call may run, with their shared parameters."""
        source = self.search.source
        match call.func:
            case ast.Name(id=name) if name not in self.locals:
                for module, function in source.functions(self.module, name):
                    yield module, function, self._passed(function, call, receiver=False)
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr=attr):
                for module, function in source.methods_named(attr):
                    yield module, function, self._passed(function, call, receiver=True)
            case ast.Attribute(value=value, attr=attr):
                if isinstance(value, ast.Name) and value.id not in self.locals:
                    for module, function in source.functions_of(self.module, value.id, attr):
                        yield module, function, self._passed(function, call, receiver=False)
                if self.is_shared(value):
                    for module, function in source.methods_named(attr):
                        yield module, function, self._passed(function, call, receiver=True)

    def _passed(self, function: Function, call: ast.Call, *, receiver: bool) -> frozenset[str]:
        """Return the parameters of a function that get something shared in a call."""
        names = [one.arg for one in (*function.args.posonlyargs, *function.args.args)]
        found = {names.pop(0)} if receiver and names and not is_static(function) else set()
        pairs = zip(names, call.args, strict=False)
        found |= {name for name, value in pairs if self.is_shared(value)}
        found |= {one.arg for one in call.keywords if one.arg and self.is_shared(one.value)}
        return frozenset(found)

    def _write_of_closure(self, call: ast.Call) -> Write | None:
        """Return where a function writes that another one has made, and that is called here."""
        match call.func:
            case ast.Name(id=name) if name not in self.locals:
                makers = self.search.source.makers(self.module, name)
            case ast.Attribute(value=value, attr=attr) if self.is_shared(value):
                makers = self.search.source.makers_of_attribute(attr)
            case _:
                return None
        for module, maker in makers:
            if line := line_of_kept_state(maker):
                return Write(module.file, line)
        return None


def _in_place(call: ast.Call) -> bool:
    return any(
        one.arg == "inplace" and isinstance(one.value, ast.Constant) and one.value.value is True
        for one in call.keywords
    )
