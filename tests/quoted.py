"""Names that docs and docstrings quote in backticks, looked up in the code base.

Nothing of modelsync is imported for it: the names come from the syntax trees of its files. A quoted
text of an unknown shape (a sentence, a piece of JSON) passes; one that looks like a name, a path, a
setting, a metric, a route, a command or a make target must exist.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import keyword
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "modelsync"

NOT_OURS = {
    # Models of examples, their files, and a misspelt setting that the README warns of.
    *("Churn", "CreditRisk", "Exchange", "Iris", "Price", "Wine", "GITPATH"),
    *("helpers", "helpers.py", "helpers.Scaler", "json.py", "shared.py", "common/"),
    *("pipeline.pkl", "model.pkl", "model.onnx"),
    # The kernel, the C library, Kubernetes, pytest, OpenAPI, HTTP and the environment.
    *("stack_t", "oom_score_adj", "syncfs", "fsync", "memory.events", "memory.oom_control"),
    *("memory.oom.group", "OOMKilled", "debootstrap", "tmp_path", "mapping", "Upgrade", "TZ"),
    # A type variable of an explanation.
    "X",
    # The domain of the annotation `modelsync.dev/revision`.
    "modelsync.dev",
}
"""Quoted names that nothing of this project defines, each line with its reason."""

IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
FILE = re.compile(r"[\w.<>{}*/-]+\.(py|md|json|ya?ml|toml|txt|sh|example|cfg|mod|pid)")
METRIC_SUFFIX = re.compile(r"_(total|bucket|sum|count)$")


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
        for node in module.tree.body:
            module.defined.update(_assigned(node))
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


class CodeBase:
    """Every name of the project. `unknown` says why a quoted text is none."""

    def __init__(self, package: Path = PACKAGE) -> None:
        self.modules = {
            ".".join(path.relative_to(package.parent).with_suffix("").parts): Module.read(path)
            for path in sorted(package.rglob("*.py"))
        }
        self.modules = {
            name.removesuffix(".__init__"): module for name, module in self.modules.items()
        }

    @cached_property
    def definitions(self) -> set[str]:
        """Names that any file defines or imports, and names of packages and modules."""
        return self._parts.union(
            *(module.defined | module.names for module in self.modules.values())
        )

    @cached_property
    def _parts(self) -> set[str]:
        return {part for name in self.modules for part in name.split(".")}

    @cached_property
    def words(self) -> set[str]:
        """Texts of one word in the code, such as JSON members and names of files."""
        return set().union(*(module.words for module in self.modules.values()))

    @cached_property
    def imported(self) -> set[str]:
        """The libraries that the code imports."""
        return set().union(*(module.imported for module in self.modules.values()))

    @cached_property
    def surroundings(self) -> set[str]:
        """Words of everything beside the package that docs may quote: the chart, the examples."""
        folders = ("helm", "k8s", "models_serve", "scripts", "modelsync/api/console")
        files = [path for name in folders for path in (ROOT / name).rglob("*") if path.is_file()]
        files += [ROOT / name for name in ("Dockerfile", "Makefile", "pyproject.toml", "run.sh")]
        text = "\n".join(path.read_text("utf-8", errors="ignore") for path in files)
        return set(re.findall(r"[\w.-]*\w", text)) | set(re.findall(r"\w+", text))

    @cached_property
    def settings(self) -> set[str]:
        """Environment variables, as the code spells them."""
        found = {word for word in self.words if re.fullmatch(r"MODELSYNC_[A-Z_]+", word)}
        tests = {word for word in self.surroundings if word.startswith("MODELSYNC_TEST_")}
        return {*found, *tests, *(f"{name}_FILE" for name in found)}

    @cached_property
    def verbs(self) -> set[str]:
        """Commands of `modelsync`."""
        (function,) = (
            node
            for node in self.modules["modelsync.cli"].tree.body
            if isinstance(node, ast.For) and "add_command" in ast.unparse(node)
        )
        return {node.id for node in ast.walk(function.iter) if isinstance(node, ast.Name)}

    @cached_property
    def targets(self) -> set[str]:
        """Targets of the Makefile."""
        return set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))

    def unknown(self, quoted: str, module: Module | None = None) -> str | None:
        """Why a text in backticks names nothing; None where it does, or is no name.

        `module` is the file whose docstring quotes it: its parameters and variables count.
        """
        text = quoted.removesuffix("()")
        if text in NOT_OURS or text.startswith("modelsync_models."):  # packages of models' folders
            return None
        for name in re.findall(r"\bmodelsync(?:\.[A-Za-z_]\w*)+", text):
            if name not in NOT_OURS and not self._is_member(name.split(".")):
                return f"no module or member {name}"
        for name in re.findall(r"\bMODELSYNC_[A-Z_]*[A-Z]\b", text):
            if name not in self.settings:
                return f"no setting {name}"
        if command := re.match(r"(?:python -m )?modelsync ([a-z]+)\b", text):
            return None if command[1] in self.verbs else f"no command {command[1]}"
        if target := re.match(r"make ([a-z0-9-]+)$", text):
            return None if target[1] in self.targets else f"no make target {target[1]}"
        return self._unknown_name(text, module)

    def _unknown_name(self, text: str, module: Module | None) -> str | None:
        if text.startswith("modelsync_") and IDENTIFIER.fullmatch(text):
            known = METRIC_SUFFIX.sub("", text) in self.words or text in self.words
            return None if known else "no metric"
        if FILE.fullmatch(text):
            return None if self._is_file(text) else "no file"
        if route := re.fullmatch(r"(?:GET |POST )?(/[\w<>:./-]*)(\?.*)?", text):
            return None if self._is_route(route[1]) else "no route"
        if re.fullmatch(r"[a-z]\w*(/[\w.-]+)+/?", text) and (ROOT / text.split("/")[0]).is_dir():
            return None if (ROOT / text).exists() else "no file or folder"
        if DOTTED.fullmatch(text) and not text.startswith("modelsync."):
            return None if self._is_dotted(text, module) else "no such member"
        if IDENTIFIER.fullmatch(text):
            return None if self._is_name(text, module) else "no such name"
        return None

    def _is_name(self, text: str, module: Module | None) -> bool:
        if text in self.definitions or text in self.words or text in self.imported:
            return True
        if keyword.iskeyword(text) or hasattr(builtins, text) or text in sys.stdlib_module_names:
            return True
        return text in (module.used if module else self.surroundings)

    def _is_dotted(self, text: str, module: Module | None) -> bool:
        if text in self.words or (module is None and text in self.surroundings):
            return True
        parts = text.split(".")
        if any(self._is_member([*name.split("."), *parts]) for name in self._packages):
            return True
        if any(parts[0] in one.members and self._has(one, parts) for one in self.modules.values()):
            return True
        if parts[0] in sys.stdlib_module_names:
            return _is_stdlib(parts)
        return parts[0] in self.imported and parts[0] not in self._parts

    @cached_property
    def _packages(self) -> list[str]:
        """Every package: a docstring may name a module by its last parts, as in `git.process`."""
        return sorted({name.rpartition(".")[0] for name in self.modules} | {"modelsync"} - {""})

    def _is_member(self, parts: list[str]) -> bool:
        for size in range(len(parts), 0, -1):
            if module := self.modules.get(".".join(parts[:size])):
                return size == len(parts) or self._has(module, parts[size:])
        return False

    def _has(self, module: Module, parts: list[str]) -> bool:
        name, *rest = parts
        if not rest:
            return name in module.defined
        return name in module.members and (
            rest[0] in module.members[name] or _inherits(module, name, rest[0], self.definitions)
        )

    def _is_file(self, text: str) -> bool:
        if any((top / text).exists() for top in (ROOT, PACKAGE)) or text in self.words:
            return True
        if re.search(r"[<>{}*]", text):  # a pattern: its last fixed part decides
            return any(word.endswith(Path(text).suffix) for word in self.words)
        name = Path(text).name
        if "/" not in text:
            return name in self._file_names
        return name in self.words and not text.endswith(".py")  # a file in the state directory

    @cached_property
    def _file_names(self) -> set[str]:
        return {module.path.name for module in self.modules.values()}

    def _is_route(self, text: str) -> bool:
        if Path(text).is_absolute() and text.split("/")[1] in {"proc", "etc", "tmp", "var", "dev"}:
            return True
        literal = [part for part in text.split("/") if part and not re.search(r"[<>:]", part)]
        fixed = [part for part in literal if part != "models" and part not in NOT_OURS]
        return all(any(part in word for word in self._path_words) for part in fixed)

    @cached_property
    def _path_words(self) -> set[str]:
        layers = ("modelsync.api", "modelsync.server", "modelsync.models.types")
        return set().union(
            *(module.words for name, module in self.modules.items() if name.startswith(layers))
        )


def _inherits(module: Module, name: str, member: str, definitions: set[str]) -> bool:
    """Whether a class with bases may have the member from one of them."""
    (node, *_) = (
        below
        for below in ast.walk(module.tree)
        if isinstance(below, ast.ClassDef) and below.name == name
    )
    return bool(node.bases) and member in definitions


def _is_stdlib(parts: list[str]) -> bool:
    """Whether a dotted name is one of the standard library; `datetime.astimezone` counts as the
    method of the class that is named like its module.
    """
    found: object = importlib.import_module(parts[0])
    found = getattr(found, parts[0], found) if not hasattr(found, parts[1]) else found
    for part in parts[1:]:
        if not hasattr(found, part):
            return False
        found = getattr(found, part)
    return True


def quoted(text: str) -> Iterator[str]:
    """The texts in single backticks, as one line each; code blocks are left out."""
    text = re.sub(r"^(```|~~~).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    for paragraph in re.split(r"\n\s*\n", text):
        for found in re.findall(r"(?<!`)`([^`]+)`(?!`)", paragraph):
            yield " ".join(found.split())
