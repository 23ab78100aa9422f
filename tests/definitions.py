"""What a file of Python defines and uses, read from its syntax tree: nothing is imported for it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Module:
    """One file: the names that it defines, those that it uses, and its texts of one word."""

    path: Path
    tree: ast.Module
    members: dict[str, set[str]] = field(default_factory=dict)  # class -> attributes and methods
    defined: set[str] = field(default_factory=set)  # functions, classes, constants, attributes
    used: set[str] = field(default_factory=set)  # any identifier: parameters, variables, imports
    imported: set[str] = field(default_factory=set)  # top-level modules, of libraries too
    names: set[str] = field(default_factory=set)  # imported from any module
    words: set[str] = field(default_factory=set)  # texts such as keys of dictionaries

    @classmethod
    def read(cls, path: Path) -> Module:
        """Parse a file."""
        module = cls(path, ast.parse(path.read_text("utf-8")))
        for statement in module.tree.body:
            module.defined.update(_assigned(statement))
        for node in ast.walk(module.tree):
            module._note(node)
        return module

    def _note(self, node: ast.AST) -> None:
        match node:
            case ast.ClassDef():
                members = {name for below in ast.walk(node) for name in _attributes(below)}
                self.members[node.name] = members
                self.defined.update({node.name} | members)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self.defined.add(node.name)
            case ast.Name():
                self.used.add(node.id)
            case ast.Attribute():
                self.used.add(node.attr)
            case ast.arg():
                self.used.add(node.arg)
            case ast.keyword(arg=str(name)):
                self.used.add(name)
            case ast.Import():
                self.imported.update(alias.name.partition(".")[0] for alias in node.names)
            case ast.ImportFrom(module=str(source)):
                self.imported.add(source.partition(".")[0])
                self.names.update(alias.name for alias in node.names)
            case ast.Constant(value=str(text)) if re.fullmatch(r"\S{1,80}", text):
                self.words.add(text)

    def has_bases(self, name: str) -> bool:
        """Whether a class has bases, from which it may have a member."""
        return any(
            node.name == name and bool(node.bases)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ClassDef)
        )

    def docstrings(self) -> Iterator[str]:
        """Docstrings of the module, its classes, functions and attributes."""
        for node in ast.walk(self.tree):
            body = getattr(node, "body", None)
            for statement in body if isinstance(body, list) else ():
                match statement:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        yield text


def _assigned(node: ast.AST) -> Iterator[str]:
    """The names that a statement of a module or class assigns."""
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    for target in targets:
        for below in ast.walk(target) if isinstance(target, ast.AST) else ():
            if isinstance(below, ast.Name):
                yield below.id


def _attributes(node: ast.AST) -> Iterator[str]:
    """The attribute that a node inside a class defines: a method, a field, `self.name`."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name
        case ast.AnnAssign() | ast.Assign():
            yield from _assigned(node)
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            yield name
