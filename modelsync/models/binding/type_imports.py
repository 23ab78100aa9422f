"""Imports what a module imports for type checkers only: `if TYPE_CHECKING: from x import Y`.

Python never needs these names, but the types of a request do.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


def bring(name: str, scope: Mapping[str, Any]) -> Any:
    """Return what a name stands for in a module with these global names.

    Raises LookupError if it imports no such name for type checkers, and what the import raises.
    """
    file = scope.get("__file__") or ""
    for statement in _for_type_checkers(ast.parse(Path(file).read_bytes())):
        bound = [one.asname or one.name.partition(".")[0] for one in statement.names]
        if name in bound:
            names = dict(scope)  # with the `__import__` of the model's folder
            code = ast.Module([statement], type_ignores=[])
            exec(compile(code, file, "exec"), names)  # noqa: S102  a line of the model's code
            return names[name]
    raise LookupError(name)


def _for_type_checkers(tree: ast.Module) -> Iterator[ast.Import | ast.ImportFrom]:
    for node in ast.walk(tree):
        match node:
            case ast.If(
                test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"), body=body
            ):
                yield from (one for one in body if isinstance(one, ast.Import | ast.ImportFrom))
