"""The table of layers in docs/architecture.md, from the import contracts in pyproject.toml.

Each row is a layer of the first contract, with the first sentence of the docstring of its package
or module; below the table stand the names of the other contracts. `scripts.generated` writes it.
"""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- layers:begin -->", "<!-- layers:end -->"


def contracts() -> list[dict[str, Any]]:
    """The contracts that `lint-imports` holds, in their order."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    found: list[dict[str, Any]] = project["tool"]["importlinter"]["contracts"]
    return found


def layers() -> list[list[str]]:
    """The layers of the whole package from top to bottom, each with its packages or modules."""
    whole = next(one for one in contracts() if one["type"] == "layers" and "containers" not in one)
    return [re.split(r" *[|:] *", layer) for layer in whole["layers"]]


def table() -> str:
    """Render the layers as a Markdown table, and the names of the other contracts as a list."""
    lines = ["| layer | package | holds |", "|---|---|---|"] + [
        f"| {number} | `{name.removeprefix('modelsync.')}` | {summary(name)} |"
        for number, names in enumerate(layers(), 1)
        for name in names
    ]
    others = [one["name"] for one in contracts() if one["type"] != "layers" or "containers" in one]
    return "\n".join([*lines, "", "Further contracts:", "", *(f"- {name}." for name in others), ""])


def summary(name: str) -> str:
    """The first sentence of a package's or module's docstring. Raises ValueError without one."""
    path = ROOT.joinpath(*name.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(path.read_text("utf-8")))
    if not text:
        raise ValueError(f"{path} has no docstring")
    return re.split(r"(?<=\.) |\n\n", f"{text}\n\n")[0].replace("\n", " ").replace("|", "\\|")


def page() -> str:
    """docs/architecture.md with the table between its markers replaced. Raises ValueError without
    the markers.
    """
    before, rest = PAGE.read_text("utf-8").split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table()}{END}{after}"
