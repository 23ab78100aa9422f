"""Finds the models that can be trained by themselves, by reading their source.

No code of a model is run, and nothing is imported but the standard library: a scheduler reads the
folders every few seconds.
"""

from __future__ import annotations

import ast
import logging
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger("modelsync.airflow")

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
"""The names that can be a model's, as `modelsync check` sees it."""


class Trainable(NamedTuple):
    """A model that can be trained by itself. `doc` is what its class says of itself."""

    name: str
    doc: str


def find(folder: Path) -> Iterator[Trainable]:
    """Yield the models below a folder that train themselves or say where their data comes from.

    A folder that cannot be read is left out with a warning, and never raises.
    """
    if not folder.is_dir():
        log.warning("no model has a DAG: %s is no folder", folder)
        return
    for path in sorted(folder.iterdir()):
        if (path / "etls.py").is_file() and NAME.fullmatch(path.name):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of invalid escapes: for the model's author
                    found = _read(path)
            except Exception as error:  # noqa: BLE001 - one folder must not cost the others
                log.warning("%s has no DAG: it cannot be read: %s", path.name, error)
                continue
            if found:
                yield found


def _read(path: Path) -> Trainable | None:
    """Return the model of a folder, None if nothing trains it by itself.

    A file that is no Python has a DAG too if it seems to train: its first task fails and says why,
    where a DAG that disappears would say nothing.
    """
    text = (path / "etls.py").read_text("utf-8-sig", errors="replace")
    try:
        classes = _classes(path, text)
    except (SyntaxError, ValueError, RecursionError) as error:
        log.warning("%s/etls.py is broken: %s", path.name, error)
        if re.search(r"^\s+(async +)?def +(train|fill)\b|^\s+source *=", text, re.MULTILINE):
            return Trainable(path.name, f"Broken: {error}")
        return None
    own = [one for one in classes if one.name == path.name.replace("-", "_")]
    for node in own or classes:
        if _trains_itself(_members(node, path, classes)):
            return Trainable(path.name, ast.get_docstring(node) or "")
    return None


def _classes(path: Path, text: str) -> list[ast.ClassDef]:
    """Return the classes of a source, and those that it imports from other files of its folder."""
    found = []
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef):
            found.append(node)
        elif isinstance(node, ast.ImportFrom) and node.module:
            file = path.joinpath(*node.module.split(".")).with_suffix(".py")
            if file.is_file():
                tree = ast.parse(file.read_text("utf-8-sig"))
                found += [one for one in tree.body if isinstance(one, ast.ClassDef)]
    return found


Members = dict[str, ast.stmt]


def _members(node: ast.ClassDef, path: Path, classes: list[ast.ClassDef]) -> Members:
    """Return what a class and its bases define, by name."""
    found: Members = {}
    names = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id != node.name]
    for base in (one for one in classes if one.name in names):
        found |= _members(base, path, [one for one in classes if one is not node])
    for item in node.body:
        if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
            found[item.name] = item
        elif isinstance(item, ast.Assign):
            found |= {one.id: item for one in item.targets if isinstance(one, ast.Name)}
        elif isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            found[item.target.id] = item
    return found


def _trains_itself(members: Members) -> bool:
    """Return whether a class fetches its data itself, or says where it comes from."""
    train = members.get("train")
    if isinstance(train, ast.FunctionDef) and _required(train) == 0:
        return True
    return bool({"fit", "train"} & members.keys()) and bool(
        {"source", "incoming", "fill"} & members.keys()
    )


def _required(function: ast.FunctionDef) -> int:
    """Return how many arguments a call of a method must have."""
    positional = len(function.args.posonlyargs) + len(function.args.args) - 1
    named = sum(default is None for default in function.args.kw_defaults)
    return max(positional - len(function.args.defaults), 0) + named
