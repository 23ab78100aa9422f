"""The wheel whose predict path is compiled: its source tree, and that `make test-mypyc` has it."""

from __future__ import annotations

import ast
import tomllib
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import modelsync
from modelsync.extension_types import compiled
from scripts import extension_modules
from tests.command import modelsync as command

PACKAGE = Path(modelsync.__path__[0])


def test_the_source_tree_is_that_of_the_package(tmp_path: Path) -> None:
    """Setuptools builds it; all else is the project as it is, to the last file."""
    if not (extension_modules.ROOT / "modelsync").is_dir():
        pytest.skip("the wheel is tested, without the checkout's modelsync/")
    extension_modules.write(tmp_path / "tree")
    project, ours = (
        tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
        for root in (tmp_path / "tree", extension_modules.ROOT)
    )
    build = project.pop("build-system")
    assert build["build-backend"] == "setuptools.build_meta"
    assert [line.partition("==")[0] for line in build["requires"]] == ["mypy", "setuptools>=80"]
    del ours["build-system"]
    assert project == ours
    copied = tmp_path / "tree" / "modelsync"
    assert sources(copied) == sources(extension_modules.ROOT / "modelsync")
    for name in extension_modules.MODULES:
        assert (copied / name).is_file()


def sources(folder: Path) -> set[Path]:
    """Return the files of a package but bytecode, relative to it."""
    found = (path for path in folder.rglob("*") if path.is_file())
    kept = (path for path in found if path.suffix not in {".pyc", ".so"})
    return {path.relative_to(folder) for path in kept}


@pytest.mark.parametrize("name", extension_modules.MODULES)
def test_an_exception_has_one_name_and_one_type(name: str) -> None:
    """In compiled code a name has the type of its first exception, and another is a TypeError."""
    tree = ast.parse((PACKAGE / name).read_text("utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    for function in functions:
        caught: dict[str, set[str]] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.ExceptHandler) and node.name and node.type:
                caught.setdefault(node.name, set()).add(ast.unparse(node.type))
        assert all(len(kinds) == 1 for kinds in caught.values()), (function.name, caught)


def test_classes_of_the_interpreter_inherit_only_where_it_is_allowed() -> None:
    """Their compiled base says so by a decorator; without it, none of them can be made."""
    compiled_names = {PACKAGE / name for name in extension_modules.MODULES}
    closed, bases = set(), {}
    for path in PACKAGE.rglob("*.py"):
        module = "modelsync." + ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        tree = ast.parse(path.read_text("utf-8"))
        classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
        if path in compiled_names:
            closed |= {
                f"{module}.{one.name}"
                for one in classes
                if "allow_interpreted" not in "".join(map(ast.unparse, one.decorator_list))
            }
        else:
            imported = {
                name.asname or name.name: f"{node.module}.{name.name}"
                for node in ast.walk(tree)
                if isinstance(node, ast.ImportFrom)
                for name in node.names
            }
            for one in classes:
                bases[f"{module}.{one.name}"] = {
                    imported.get(ast.unparse(base)) for base in one.bases
                }
    assert closed
    assert {name for name, found in bases.items() if found & closed} == set()


@pytest.mark.skipif(not compiled(), reason="modelsync is not compiled here: make test-mypyc")
def test_the_modules_are_extension_modules() -> None:
    """Each of them, so that a build that left one out is found."""
    for name in extension_modules.MODULES:
        module = import_module("modelsync." + name.removesuffix(".py").replace("/", "."))
        assert str(module.__file__).endswith(tuple(EXTENSION_SUFFIXES)), name
        assert (PACKAGE / name).is_file(), "the source is there too"


def test_the_version_says_whether_it_is_compiled(tmp_path: Path) -> None:
    """A bug report shows which of the two it is about."""
    assert ("predict path compiled" in command("version", cwd=tmp_path).stdout) == compiled()
