"""Reads from the source of a class how it is trained by itself: the attributes of `TrainingPlan`.

Nothing runs, so their values must be literals, or names of literals at the top of a module.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from modelsync.models.data_schema import NO_PLAN, TrainingPlan
from modelsync.models.discovery.folder_source import Folder
from modelsync.models.discovery.module_source import Module
from modelsync.models.types import ModelSpec


def read(spec: ModelSpec) -> tuple[TrainingPlan, tuple[str, ...]]:
    """Return the plan of a model's class, and what in it cannot be read, in words."""
    folder = Folder.of(spec)
    if (module := folder.etls) is None:
        return NO_PLAN, ()
    found: dict[str, Any] = {}
    warnings = []
    for name, (home, node) in _assigned(folder, module, spec.class_name).items():
        expected, convert = ATTRIBUTES[name]
        try:
            value = _literal(folder, home, node)
        except (ValueError, RecursionError):
            warnings.append(
                f"{home.file}:{node.lineno}: {name} is not used: it is computed when the class is "
                f"made; expected {expected}, written out"
            )
            continue
        if value is None:
            continue
        try:
            found[name] = convert(value)
        except (TypeError, ValueError):
            warnings.append(
                f"{home.file}:{node.lineno}: {name} is not used: expected {expected}, "
                f"came {value!r:.80}"
            )
    return TrainingPlan(**found), tuple(warnings)


def _assigned(
    folder: Folder, module: Module, class_name: str
) -> dict[str, tuple[Module, ast.expr]]:
    """Return the attributes of a plan that a class or a base of it assigns, the nearest one."""
    found: dict[str, tuple[Module, ast.expr]] = {}
    for home, node in folder.lineage(module, class_name):
        own: dict[str, tuple[Module, ast.expr]] = {}
        for item in node.body:
            match item:
                case ast.Assign(targets=targets, value=value):
                    names = [one.id for one in targets if isinstance(one, ast.Name)]
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    names = [name]
                case _:
                    continue
            own |= {name: (home, value) for name in names if name in ATTRIBUTES}
        found = own | found
    return found


def _literal(folder: Folder, module: Module, node: ast.expr) -> Any:
    """Return the value of a literal: constants, names of them, lists, texts that are joined.

    Raises ValueError for anything else.
    """
    match node:
        case ast.Constant(value=value):
            return value
        case ast.Name(id=name):
            values = module.assigned.get(name, [])
            if len(values) != 1 or values[0] is None or values[0] is node:
                raise ValueError(name)
            return _literal(folder, module, values[0])
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_literal(folder, module, one) for one in items]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(folder, module, left) + _text(folder, module, right)
        case ast.JoinedStr(values=parts):
            return "".join(_text(folder, module, one) for one in parts)
        case ast.FormattedValue(value=value, conversion=-1, format_spec=None):
            return _literal(folder, module, value)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
    raise ValueError(type(node).__name__)


def _text(folder: Folder, module: Module, node: ast.expr) -> str:
    value = _literal(folder, module, node)
    if not isinstance(value, str):
        raise ValueError(value)
    return value


# --- types ----------------------------------------------------------------------------------------


def _one(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value.strip()


def _several(value: Any) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list):
        raise TypeError
    return tuple(text for one in items if (text := _one(one)))


def _choice(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(value)
    return float(value)


_SOURCE = "a source such as 'data/*.parquet' or 'SELECT ...', or a list of them"

ATTRIBUTES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "source": (_SOURCE, _several),
    "target": ("the name of a column, or a list of names", _several),
    "incoming": ("files or a query with {date} in it", _one),
    "table": ("the name of a table", _one),
    "metric": ("the name of a metric", _one),
    "greater_is_better": ("True or False", _choice),
    "test_size": ("a share of the rows, from 0 to below 1", _share),
}
"""The attributes of a class that make its plan: what each must be, and its conversion."""
